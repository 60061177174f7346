package functions;

public class Function {
    public void handle(String another) {}
}
