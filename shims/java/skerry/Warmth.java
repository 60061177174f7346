package skerry;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.URL;
import java.net.URLClassLoader;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * What a spare does while it waits for nobody yet: loads a function like the author's, from a folder and from a jar, and asks it often enough that the path of a
 * request is loaded, linked and compiled. Nothing of it is left: no file, connection, thread or class.
 */
final class Warmth {
    private static final int REQUESTS = 300; // C1 compiles what ran 200 times
    private static final int ANSWER_BYTES = 4096;

    private static final List<String> ASKED = List.of(
            "GET /warm HTTP/1.1\r\nhost: localhost\r\nx-request-id: warm\r\nx-forwarded-for: 127.0.0.1\r\n\r\n",
            "POST /warm?a=1&b=two HTTP/1.1\r\nhost: localhost\r\nx-request-id: warm\r\ncontent-type: application/json\r\ncontent-length: 4\r\n\r\nwarm",
            "POST /warm?stream=1 HTTP/1.1\r\nhost: localhost\r\nx-request-id: warm\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n4\r\nwarm\r\n0\r\n\r\n");

    private Warmth() {}

    /** {@code code} has the folder classes/ and code.jar, with the class warm.Function in both. */
    static void warm(Path code) throws Throwable {
        Code.entries(code);
        for (String form : new String[] {"classes/", "code.jar"}) {
            try (URLClassLoader loader = new URLClassLoader(new URL[] {code.resolve(form).toUri().toURL()}, ClassLoader.getSystemClassLoader())) {
                serveItself(Function.make(Class.forName("warm.Function", true, loader)));
            }
        }
        System.gc();
    }

    private static void serveItself(Function function) throws IOException, InterruptedException {
        Path place = Files.createTempDirectory("skerry-warm");
        UnixDomainSocketAddress address = UnixDomainSocketAddress.of(place.resolve("s"));
        try (ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX).bind(address); SocketChannel caller = SocketChannel.open(address)) {
            Files.delete(address.getPath());
            Files.delete(place);
            Thread server = new Thread(new Connection(listener.accept(), function.handle(), connection -> { }), "request");
            server.start();
            for (int i = 0; i < REQUESTS; i++) {
                ask(caller, ASKED.get(i % ASKED.size()));
            }
            caller.close();
            server.join();
        }
    }

    private static void ask(SocketChannel caller, String request) throws IOException {
        caller.write(ByteBuffer.wrap(request.getBytes(StandardCharsets.US_ASCII)));
        ByteBuffer answer = ByteBuffer.allocate(ANSWER_BYTES);
        for (String text = ""; !complete(text); text = new String(answer.array(), 0, answer.position(), StandardCharsets.ISO_8859_1)) {
            if (caller.read(answer) < 0) {
                throw new IOException("the warm-up was not answered");
            }
        }
    }

    private static boolean complete(String answer) {
        int head = answer.indexOf("\r\n\r\n");
        if (head < 0) {
            return false;
        }
        int length = answer.indexOf("content-length: ");
        if (length < 0) {
            return answer.endsWith("\r\n0\r\n\r\n");
        }
        int end = answer.indexOf("\r\n", length);
        return answer.length() - head - 4 >= Integer.parseInt(answer.substring(length + 16, end));
    }
}
