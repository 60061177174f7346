package functions;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpExchange;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import java.util.function.IntConsumer;

/** The paths of SPEC.md, in terms of what a Java handler gets. */
public class Function {
    private static final int PIECE_BYTES = 64 * 1024;
    private static final Map<String, Semaphore> gates = new ConcurrentHashMap<>();

    private int starts;

    public Function() {
        starts++;
    }

    public void stop() {
        System.out.println("stop hook ran");
    }

    public void handle(HttpExchange exchange) throws Exception {
        new Call(exchange).serve();
    }

    private final class Call {
        final HttpExchange exchange;
        final Map<String, String> query = new HashMap<>();

        Call(HttpExchange exchange) {
            this.exchange = exchange;
            String raw = exchange.getRequestURI().getRawQuery();
            for (String pair : raw == null ? new String[0] : raw.split("&")) {
                int equals = pair.indexOf('=');
                query.put(equals < 0 ? pair : pair.substring(0, equals), equals < 0 ? "" : pair.substring(equals + 1));
            }
        }

        void serve() throws Exception {
            String path = exchange.getRequestURI().getPath();
            switch (path.startsWith("/request/") ? "/request" : path) {
                case "/hello" -> text(200, "hello\n");
                case "/request" -> request();
                case "/echo" -> echo();
                case "/digest", "/upload" -> digest();
                case "/hold" -> hold();
                case "/unread" -> text(200, "unread\n");
                case "/bytes" -> bytes();
                case "/empty" -> exchange.sendResponseHeaders(200, -1);
                case "/status" -> status();
                case "/repeated" -> repeated();
                case "/stream" -> stream();
                case "/gate" -> {
                    gate(query.get("name")).release();
                    exchange.sendResponseHeaders(204, -1);
                }
                case "/wait" -> hold("wait begin ", "wait end ");
                case "/error/before" -> throw new IllegalStateException("conformance before");
                case "/error/after" -> errorAfter(0);
                case "/error/short" -> errorAfter(100);
                case "/env" -> env();
                case "/descriptors" -> descriptors();
                case "/print" -> print();
                case "/hooks" -> json("{\"starts\":" + starts + ",\"value\":null}");
                default -> text(404, "no such path\n");
            }
        }

        void request() throws Exception {
            StringBuilder headers = new StringBuilder();
            for (Map.Entry<String, List<String>> entry : exchange.getRequestHeaders().entrySet()) {
                for (String value : entry.getValue()) {
                    headers.append(headers.length() == 0 ? "" : ",").append('[').append(quote(entry.getKey().toLowerCase(Locale.ROOT))).append(',').append(quote(value)).append(']');
                }
            }
            MessageDigest sum = MessageDigest.getInstance("SHA-256");
            long size = read(sum, n -> {});
            String raw = exchange.getRequestURI().getRawQuery();
            json("{\"method\":" + quote(exchange.getRequestMethod()) + ",\"path\":" + quote(exchange.getRequestURI().getPath())
                    + ",\"raw_path\":" + quote(exchange.getRequestURI().getRawPath()) + ",\"query\":" + quote(raw == null ? "" : raw) + ",\"scheme\":null,\"client\":"
                    + quote(exchange.getRemoteAddress().getAddress().getHostAddress()) + ",\"headers\":[" + headers + "],\"bytes\":" + size + ",\"sha256\":"
                    + quote(HexFormat.of().formatHex(sum.digest())) + "}");
        }

        /** Reads the whole body; {@code each} is told how many bytes came so far. */
        long read(MessageDigest sum, IntConsumer each) throws IOException {
            byte[] buffer = new byte[PIECE_BYTES];
            InputStream in = exchange.getRequestBody();
            int total = 0;
            for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                sum.update(buffer, 0, n);
                total += n;
                each.accept(total);
            }
            return total;
        }

        void echo() throws IOException {
            String kind = exchange.getRequestHeaders().getFirst("Content-Type");
            exchange.getResponseHeaders().set("Content-Type", kind == null ? "application/octet-stream" : kind);
            exchange.sendResponseHeaders(200, 0);
            byte[] buffer = new byte[PIECE_BYTES];
            InputStream in = exchange.getRequestBody();
            try (OutputStream out = exchange.getResponseBody()) {
                for (int n = in.read(buffer); n >= 0; n = in.read(buffer)) {
                    out.write(buffer, 0, n);
                }
            }
        }

        void digest() throws Exception {
            String id = query.get("id");
            MessageDigest sum = MessageDigest.getInstance("SHA-256");
            long size = read(sum, n -> {
                if (id != null) {
                    System.out.println("upload " + id + " " + n);
                }
            });
            json("{\"bytes\":" + size + ",\"sha256\":" + quote(HexFormat.of().formatHex(sum.digest())) + "}");
        }

        void hold() throws Exception {
            System.out.println("hold " + query.get("gate"));
            pass(query.get("gate"));
            digest();
        }

        void hold(String begin, String end) throws Exception {
            System.out.println(begin + query.get("gate"));
            pass(query.get("gate"));
            System.out.println(end + query.get("gate"));
            text(200, "waited\n");
        }

        void bytes() throws IOException {
            int size = Integer.parseInt(query.get("n"));
            exchange.getResponseHeaders().set("Content-Type", "application/octet-stream");
            // The JDK's agreement: 0 is a body of unknown length, -1 none.
            exchange.sendResponseHeaders(200, !"length".equals(query.get("framing")) ? 0 : size == 0 ? -1 : size);
            if (size == 0 && "length".equals(query.get("framing"))) {
                return;
            }
            try (OutputStream out = exchange.getResponseBody()) {
                byte[] piece = new byte[PIECE_BYTES];
                for (int at = 0; at < size; at += PIECE_BYTES) {
                    int count = Math.min(PIECE_BYTES, size - at);
                    for (int i = 0; i < count; i++) {
                        piece[i] = (byte) ((at + i) % 251);
                    }
                    out.write(piece, 0, count);
                }
            }
        }

        void status() throws IOException {
            exchange.getResponseHeaders().set("X-Conformance", "status");
            exchange.sendResponseHeaders(Integer.parseInt(query.get("code")), -1);
        }

        void repeated() throws IOException {
            Headers headers = exchange.getResponseHeaders();
            headers.add("X-Repeated", "one");
            headers.add("X-Repeated", "two");
            headers.add("Set-Cookie", "a=1; Path=/");
            headers.add("Set-Cookie", "b=2, c; Path=/");
            text(200, "ok\n");
        }

        void stream() throws Exception {
            String name = query.get("gate");
            try {
                exchange.getResponseHeaders().set("Content-Type", "text/plain");
                exchange.sendResponseHeaders(200, 0);
                OutputStream out = exchange.getResponseBody();
                for (int number = 0; number < Integer.parseInt(query.get("n")); number++) {
                    if (number > 0) {
                        pass(name);
                    }
                    out.write(("piece " + number + "\n").getBytes(StandardCharsets.US_ASCII));
                }
            } finally {
                System.out.println("stream end " + name);
            }
        }

        void errorAfter(int length) throws IOException {
            exchange.getResponseHeaders().set("Content-Type", "text/plain");
            exchange.sendResponseHeaders(200, length);
            exchange.getResponseBody().write("partial\n".getBytes(StandardCharsets.US_ASCII));
            throw new IllegalStateException("conformance after");
        }

        void env() throws IOException {
            List<String> all = new ArrayList<>();
            System.getenv().forEach((name, value) -> all.add(quote(name) + ":" + quote(value)));
            json("{\"env\":{" + String.join(",", all) + "},\"cwd\":" + quote(folder()) + "}");
        }

        /** Where relative names lead: Java and the kernel must agree. */
        String folder() throws IOException {
            String real = Path.of("/proc/self/cwd").toRealPath().toString();
            return real.equals(System.getProperty("user.dir")) ? real : real + " and " + System.getProperty("user.dir");
        }

        void descriptors() throws Exception {
            Process child = new ProcessBuilder("/bin/sh", "-c", "for f in /proc/$$/fd/*; do readlink \"$f\"; done").start();
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            child.getInputStream().transferTo(out);
            child.waitFor();
            text(200, out.toString(StandardCharsets.UTF_8));
        }

        void print() throws Exception {
            System.out.println(query.get("out"));
            System.err.println(query.get("err"));
            pass(query.get("gate"));
            exchange.sendResponseHeaders(204, -1);
        }

        void text(int status, String text) throws IOException {
            send(status, "text/plain", text);
        }

        void json(String text) throws IOException {
            send(200, "application/json", text);
        }

        void send(int status, String kind, String text) throws IOException {
            byte[] body = text.getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", kind);
            exchange.sendResponseHeaders(status, body.length);
            try (OutputStream out = exchange.getResponseBody()) {
                out.write(body);
            }
        }
    }

    private static Semaphore gate(String name) {
        return gates.computeIfAbsent(name, unused -> new Semaphore(0));
    }

    private static void pass(String name) throws InterruptedException {
        gate(name).acquire();
    }

    private static String quote(String text) {
        StringBuilder out = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') {
                out.append('\\').append(c);
            } else if (c < 0x20 || c > 0x7e) {
                out.append(String.format("\\u%04x", (int) c));
            } else {
                out.append(c);
            }
        }
        return out.append('"').toString();
    }
}
