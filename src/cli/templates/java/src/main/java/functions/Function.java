package functions;

import com.sun.net.httpserver.HttpExchange;
import java.io.IOException;
import java.nio.charset.StandardCharsets;

/** Answers HTTP requests; one instance serves one request at a time. */
public class Function {
  private final String greeting = System.getenv().getOrDefault("GREETING", "Hello");

  public void handle(HttpExchange exchange) throws IOException {
    System.out.println("handling " + exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath());
    exchange.getRequestBody().readAllBytes();
    String answer = String.format("{\"message\":\"%s, world!\",\"path\":\"%s\"}%n", escape(greeting), escape(exchange.getRequestURI().getPath()));
    byte[] body = answer.getBytes(StandardCharsets.UTF_8);
    exchange.getResponseHeaders().set("Content-Type", "application/json");
    exchange.sendResponseHeaders(200, body.length);
    exchange.getResponseBody().write(body);
    exchange.close();
  }

  private static String escape(String text) {
    return text.replace("\\", "\\\\").replace("\"", "\\\"");
  }
}
