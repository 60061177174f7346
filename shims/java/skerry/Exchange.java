package skerry;

import com.sun.net.httpserver.Headers;
import com.sun.net.httpserver.HttpContext;
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpPrincipal;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** One request and its answer, as the author's handler sees them. */
final class Exchange extends HttpExchange {
    private final String method;
    private final URI uri;
    private final Headers requestHeaders = new Headers();
    private final Headers responseHeaders = new Headers();
    private final Map<String, Object> attributes = new HashMap<>();
    private final BodyIn in;
    private final OutputStream raw;
    private InputStream requestBody;
    private OutputStream responseBody;
    private BodyOut out;
    private int code = -1;

    Exchange(String head, InputStream in, OutputStream raw) throws IOException {
        String[] lines = head.split("\r\n");
        String[] first = lines[0].split(" ");
        method = first[0];
        uri = URI.create(first[1].startsWith("//") ? "/." + escaped(first[1]) : escaped(first[1]));
        for (int i = 1; i < lines.length; i++) {
            int colon = lines[i].indexOf(':');
            requestHeaders.add(lines[i].substring(0, colon), lines[i].substring(colon + 1).trim());
        }
        boolean chunked = "chunked".equalsIgnoreCase(requestHeaders.getFirst("Transfer-Encoding"));
        String length = requestHeaders.getFirst("Content-Length");
        this.in = new BodyIn(in, chunked, length == null ? 0 : Long.parseLong(length));
        this.requestBody = this.in;
        this.raw = raw;
    }

    /** What a target may have and java.net.URI may not: escaped, instead of refused. */
    private static String escaped(String target) {
        StringBuilder out = null;
        for (int i = 0; i < target.length(); i++) {
            char c = target.charAt(i);
            boolean fits = c == '%' ? i + 2 < target.length() && Character.digit(target.charAt(i + 1), 16) >= 0 && Character.digit(target.charAt(i + 2), 16) >= 0
                    : c > ' ' && c < 0x7f && "\"<>\\^`{|}[]#".indexOf(c) < 0;
            if (!fits && out == null) {
                out = new StringBuilder(target.substring(0, i));
            }
            if (out != null && fits) {
                out.append(c);
            } else if (out != null) {
                out.append(String.format("%%%02X", (int) c));
            }
        }
        return out == null ? target : out.toString();
    }

    @Override
    public void sendResponseHeaders(int status, long length) throws IOException {
        if (code != -1) {
            throw new IOException("headers already sent");
        }
        code = status;
        // com.sun.net.httpserver's agreement: -1 is no body, 0 is a body of unknown length.
        boolean bodiless = method.equals("HEAD") || status < 200 || status == 204 || status == 304;
        boolean chunked = length == 0 && !bodiless;
        StringBuilder text = new StringBuilder("HTTP/1.1 ").append(status).append(" Status\r\n");
        for (Map.Entry<String, List<String>> entry : responseHeaders.entrySet()) {
            if (entry.getKey().equalsIgnoreCase("Content-Length") && !method.equals("HEAD") || entry.getKey().equalsIgnoreCase("Transfer-Encoding")) {
                continue;
            }
            for (String value : entry.getValue()) {
                text.append(entry.getKey()).append(": ").append(value).append("\r\n");
            }
        }
        if (chunked) {
            text.append("transfer-encoding: chunked\r\n");
        } else if (!bodiless) {
            text.append("content-length: ").append(Math.max(0, length)).append("\r\n");
        }
        text.append("\r\n");
        out = new BodyOut(raw, text.toString().getBytes(StandardCharsets.ISO_8859_1), bodiless, chunked, Math.max(0, length));
        responseBody = out;
        if (bodiless || length == -1) {
            out.flush();
        }
    }

    /** After the handler: the head if it never sent one, and the end of the body. */
    void finish() throws IOException {
        if (code == -1) {
            sendResponseHeaders(200, -1);
        }
        out.end();
    }

    void answerError() throws IOException {
        responseHeaders.clear();
        responseHeaders.set("Content-Type", "application/json");
        responseHeaders.set("X-Skerry-Error", "function_error");
        String id = requestHeaders.getFirst("X-Request-Id");
        byte[] body = ("{\"error\":{\"code\":\"function_error\",\"message\":\"the function failed; see its log\",\"request_id\":" + Json.quote(id == null ? "" : id) + "}}")
                .getBytes(StandardCharsets.UTF_8);
        sendResponseHeaders(500, body.length);
        out.write(body);
        out.end();
    }

    boolean reusable() {
        return out.complete();
    }

    boolean drain(int bound) throws IOException {
        return in.drain(bound);
    }

    @Override
    public void close() {
        try {
            finish();
        } catch (IOException ignored) {
            // The caller is gone.
        }
    }

    @Override
    public Headers getRequestHeaders() {
        return requestHeaders;
    }

    @Override
    public Headers getResponseHeaders() {
        return responseHeaders;
    }

    @Override
    public URI getRequestURI() {
        return uri;
    }

    @Override
    public String getRequestMethod() {
        return method;
    }

    @Override
    public HttpContext getHttpContext() {
        return null;
    }

    @Override
    public InputStream getRequestBody() {
        return requestBody;
    }

    @Override
    public OutputStream getResponseBody() {
        return responseBody;
    }

    @Override
    public InetSocketAddress getRemoteAddress() {
        String caller = requestHeaders.getFirst("X-Forwarded-For");
        try {
            return new InetSocketAddress(InetAddress.getByName(caller == null ? "127.0.0.1" : caller.substring(caller.lastIndexOf(',') + 1).trim()), 0);
        } catch (IOException notAnAddress) {
            return InetSocketAddress.createUnresolved("unknown", 0);
        }
    }

    @Override
    public int getResponseCode() {
        return code;
    }

    @Override
    public InetSocketAddress getLocalAddress() {
        return new InetSocketAddress(InetAddress.getLoopbackAddress(), 8080);
    }

    @Override
    public String getProtocol() {
        return "HTTP/1.1";
    }

    @Override
    public Object getAttribute(String name) {
        return attributes.get(name);
    }

    @Override
    public void setAttribute(String name, Object value) {
        attributes.put(name, value);
    }

    @Override
    public void setStreams(InputStream replacement, OutputStream replacementOut) {
        if (replacement != null) {
            requestBody = replacement;
        }
        if (replacementOut != null) {
            responseBody = replacementOut;
        }
    }

    @Override
    public HttpPrincipal getPrincipal() {
        return null;
    }
}
