package functions;

import com.sun.net.httpserver.HttpExchange;

public class Function {
    public Function() {
        throw new IllegalStateException("conformance start");
    }

    public void handle(HttpExchange exchange) {}
}
