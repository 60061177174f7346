package functions;

import com.sun.net.httpserver.HttpExchange;

public class Function {
    static final Object LOADED = fail();

    static Object fail() {
        throw new IllegalStateException("conformance import");
    }

    public void handle(HttpExchange exchange) {}
}
