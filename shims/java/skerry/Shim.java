package skerry;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.lang.invoke.MethodHandle;
import java.lang.reflect.InvocationTargetException;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import sun.misc.Signal;

/**
 * Serves the class {@code functions.Function} on the listening socket that the platform made; shims/README.md is the protocol.
 *
 * <p>The socket arrives as standard input (the launcher moved descriptor 3 there), because that is the one place where Java takes over a socket by a
 * public call. The status pipe is descriptor 4. One thread a connection: a function serves one request at a time.
 */
public final class Shim {
    private static final int STATUS_DESCRIPTOR = 4;
    private static final int MAX_MESSAGE = 600; // characters: a status line has at most 4 KB when each of them is escaped
    private static final long ACCEPT_PAUSE_MS = 20;
    private static final long STOP_MS = 10_000;
    private static final long STOP_ROUND_MS = 5;

    private static final int STOPPED_EARLY = 128 + 15; // as without a handler

    private static FileOutputStream status;
    private static volatile Function running; // once it is ready
    private static final Set<Connection> connections = ConcurrentHashMap.newKeySet();

    private Shim() {}

    public static void main(String[] arguments) throws Exception {
        status = new FileOutputStream(descriptor(STATUS_DESCRIPTOR));
        ServerSocketChannel listener = (ServerSocketChannel) System.inheritedChannel();
        System.setIn(InputStream.nullInputStream());
        // No shutdown hook: it would run beside the author's own, for System.exit in a handler too, and could not make the status 0.
        Signal.handle(new Signal("TERM"), signal -> stop());
        Function function;
        try {
            int assignment = Assignment.descriptor();
            if (assignment >= 0) {
                become(assignment);
            }
            say("{\"phase\":\"runtime\"}");
            Code.add(Path.of(Objects.requireNonNullElse(System.getenv("SKERRY_APP_DIR"), "/app")));
            Class<?> type = Class.forName("functions.Function");
            say("{\"phase\":\"code\"}");
            function = Function.make(type);
        } catch (ExceptionInInitializerError wrapped) {
            fail(wrapped.getCause());
            return;
        } catch (Throwable error) {
            fail(error);
            return;
        }
        running = function;
        say("{\"phase\":\"ready\"}");
        status.close();
        serve(listener, function.handle());
    }

    /** A spare: ready for a function before there is one. Returns when this process is to be that function's. */
    private static void become(int assignment) throws Throwable {
        Path home = Path.of(System.getProperty("java.class.path")).getParent();
        OwnProcess.load(home.resolve("skerry-java.so"));
        Warmth.warm(home.resolve("warm"));
        Assignment.practise();
        say("{\"phase\":\"waiting\"}");
        List<byte[]> environment = Assignment.read(assignment);
        if (environment == null) {
            System.exit(0);
        }
        OwnProcess.setEnvironment(environment);
        // The folder of this name that the process stood in is another one.
        String app = Objects.requireNonNullElse(System.getenv("SKERRY_APP_DIR"), "/app");
        OwnProcess.setFolder(app);
        System.setProperty("user.dir", app);
    }

    static FileDescriptor descriptor(int number) throws IOException {
        try {
            FileDescriptor descriptor = new FileDescriptor();
            var field = FileDescriptor.class.getDeclaredField("fd");
            field.setAccessible(true);
            field.setInt(descriptor, number);
            return descriptor;
        } catch (ReflectiveOperationException closed) {
            throw new IOException(closed);
        }
    }

    private static void say(String line) throws IOException {
        status.write((line + "\n").getBytes(StandardCharsets.UTF_8));
    }

    private static void fail(Throwable error) throws IOException {
        boolean known = error instanceof StartFailed;
        if (known) {
            System.err.println("start failed: " + error.getMessage());
        } else {
            error.printStackTrace();
        }
        String text = (known ? error.getMessage() : error.toString()).split("\n")[0];
        say("{\"error\":\"start_failed\",\"message\":" + Json.quote(text.substring(0, Math.min(text.length(), MAX_MESSAGE))) + "}");
        Runtime.getRuntime().halt(1);
    }

    private static void serve(ServerSocketChannel listener, MethodHandle handle) throws InterruptedException {
        while (true) {
            SocketChannel channel;
            try {
                channel = listener.accept();
            } catch (IOException descriptorsUsedUp) {
                // By the author's code, for now: it must not end the process.
                descriptorsUsedUp.printStackTrace();
                Thread.sleep(ACCEPT_PAUSE_MS);
                continue;
            }
            Connection connection = new Connection(channel, handle, connections::remove);
            connections.add(connection);
            new Thread(connection, "request").start();
        }
    }

    /** SIGTERM: idle connections end, requests in progress waited for, then the author's stop() or close(). */
    private static synchronized void stop() {
        if (running == null) {
            System.exit(STOPPED_EARLY);
        }
        Object function = running.object();
        // Not closed: java closes an inherited channel by pointing descriptors 0, 1 and 2 at /dev/null, and what is said from here on would be lost.
        long end = System.currentTimeMillis() + STOP_MS;
        while (!connections.isEmpty() && System.currentTimeMillis() < end) {
            connections.forEach(Connection::endWhenQuiet);
            try {
                Thread.sleep(STOP_ROUND_MS);
            } catch (InterruptedException interrupted) {
                break;
            }
        }
        callStopHook(function);
        System.out.flush();
        // Runs the author's shutdown hooks. Never returns, so that a second signal waits at the lock for the end.
        System.exit(0);
    }

    private static void callStopHook(Object function) {
        for (String name : new String[] {"stop", "close"}) {
            try {
                function.getClass().getMethod(name).invoke(function);
                return;
            } catch (NoSuchMethodException none) {
                // The hook is optional.
            } catch (InvocationTargetException thrown) {
                thrown.getCause().printStackTrace();
                return;
            } catch (IllegalAccessException closed) {
                closed.printStackTrace();
                return;
            }
        }
    }
}
