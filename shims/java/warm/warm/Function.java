package warm;

import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Does what authors' handlers do, so that a spare has done it before the author's code is there. Compiled as theirs is, by javac's defaults, and loaded as theirs
 * is, from a folder or a jar.
 */
public class Function {
    private static final Pattern PAIR = Pattern.compile("([^=&]+)=([^&]*)");
    private final Map<String, Integer> seen = new ConcurrentHashMap<>();

    enum Kind { PLAIN, JSON }

    record Item(String name, int count) {}

    public void handle(HttpExchange exchange) throws IOException {
        String path = exchange.getRequestURI().getPath();
        Map<String, String> query = query(exchange.getRequestURI().getRawQuery());
        String body;
        try (InputStream in = exchange.getRequestBody()) {
            body = new String(in.readAllBytes(), StandardCharsets.UTF_8);
        }
        int sum = concatenations(path, body, body.length(), System.nanoTime(), query);
        int count = seen.merge(path, 1, Integer::sum);
        Kind kind = Optional.ofNullable(exchange.getRequestHeaders().getFirst("Content-Type")).map(type -> type.startsWith("application/json")).orElse(false) ? Kind.JSON : Kind.PLAIN;
        String text = switch (kind) {
            case JSON -> json(List.of(new Item(path, count), new Item(body, body.length())));
            default -> "path " + path + " asked " + count + " times, " + sum + body.length() + ' ' + exchange.getRequestMethod() + query;
        };
        byte[] answer = text.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", kind == Kind.JSON ? "application/json" : "text/plain; charset=utf-8");
        exchange.getResponseHeaders().add("X-Warm", String.format("%s-%d %.1f", kind, count, 1.5));
        exchange.sendResponseHeaders(200, query.containsKey("stream") ? 0 : answer.length);
        exchange.getResponseBody().write(answer);
        exchange.close();
    }

    private static Map<String, String> query(String raw) {
        Map<String, String> found = new TreeMap<>();
        if (raw != null) {
            Matcher pairs = PAIR.matcher(raw);
            while (pairs.find()) {
                found.put(pairs.group(1), pairs.group(2));
            }
        }
        return found;
    }

    /** The forms of concatenation that code has most: the first of each makes what all of them share. */
    private static int concatenations(String a, String b, int n, long m, Object o) {
        return ("x" + a).length() + (a + "x").length() + ("x" + a + "x").length() + (a + b).length() + (a + "x" + b).length() + ("x" + a + "x" + b).length()
                + ("x" + a + "x" + b + "x").length() + ("x" + n).length() + (n + "x").length() + ("x" + n + "x").length() + (a + n).length() + ("x" + a + "x" + n).length()
                + ("x" + a + "x" + n + "x").length() + ("x" + n + "x" + a).length() + ("x" + m).length() + ("x" + o).length() + ("x" + o + "x").length() + (a + "x" + o).length()
                + ("x" + a + "x" + b + "x" + n).length() + ("x" + a + "x" + b + "x" + a).length() + ("x" + a + "x" + b + "x" + a + "x").length() + ("x" + n + "x" + n).length();
    }

    private static String json(List<Item> items) {
        Map<String, Object> whole = new LinkedHashMap<>();
        List<String> parts = new ArrayList<>();
        for (Item item : items) {
            parts.add("{\"name\":\"" + item.name() + "\",\"count\":" + item.count() + "}");
        }
        whole.put("items", parts.stream().filter(part -> !part.isEmpty()).collect(Collectors.joining(",", "[", "]")));
        whole.put("total", items.stream().mapToLong(Item::count).sum());
        return whole.entrySet().stream().map(entry -> "\"" + entry.getKey() + "\":" + entry.getValue()).collect(Collectors.joining(",", "{", "}"));
    }
}
