package functions;

import com.sun.net.httpserver.HttpExchange;

public class Function {
    public Function() throws ReflectiveOperationException {
        Class.forName("example.ConformanceMissing");
    }

    public void handle(HttpExchange exchange) {}
}
