package skerry;

import com.sun.net.httpserver.HttpExchange;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.invoke.MethodHandle;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.function.Consumer;

/** One connection of the platform: reads a request, calls the handler, again, until either side closes. The framing was checked before. */
final class Connection implements Runnable {
    private static final int MAX_HEAD = 256 * 1024;
    private static final int DRAIN = 64 * 1024;
    private static final int QUIET_ROUNDS = 8;

    private final SocketChannel channel;
    private final MethodHandle handle;
    private final Consumer<Connection> ended;
    private volatile boolean busy;
    private volatile boolean stopping;
    private int quietRounds; // of the stopping thread

    Connection(SocketChannel channel, MethodHandle handle, Consumer<Connection> ended) {
        this.channel = channel;
        this.handle = handle;
        this.ended = ended;
    }

    /**
     * Asked again and again during the stop: no request is taken after the present one, and a connection that stayed quiet for a while gets no more. What
     * has arrived may not have been read yet, and what was read may not show in {@code busy} yet; so the reader is given time, and only reading ends: a
     * request that did arrive is still answered.
     */
    void endWhenQuiet() {
        stopping = true;
        quietRounds = busy ? 0 : quietRounds + 1;
        if (quietRounds != QUIET_ROUNDS) {
            return;
        }
        try {
            channel.shutdownInput();
        } catch (IOException ended) {
            // By the other side, or by run().
        }
    }

    private void close() {
        try {
            channel.close();
        } catch (IOException ignored) {
            // Nobody is left to tell.
        }
    }

    @Override
    public void run() {
        try {
            InputStream in = new BufferedInputStream(Channels.newInputStream(channel), 16 * 1024);
            OutputStream out = Channels.newOutputStream(channel);
            while (!stopping) {
                String head = readHead(in);
                if (head == null) {
                    return;
                }
                boolean again = serve(new Exchange(head, in, out));
                busy = false;
                if (!again) {
                    return;
                }
            }
        } catch (IOException closed) {
            // The platform went away.
        } finally {
            close();
            ended.accept(this);
        }
    }

    private boolean serve(Exchange exchange) throws IOException {
        try {
            handle.invokeExact((HttpExchange) exchange);
            exchange.finish();
        } catch (Throwable error) {
            error.printStackTrace();
            if (exchange.getResponseCode() != -1) {
                return false; // an answer cut short
            }
            exchange.answerError();
        }
        return exchange.reusable() && exchange.drain(DRAIN);
    }

    /** The bytes up to and without the empty line; null at the end of the connection. From its first byte on a request is in progress. */
    private String readHead(InputStream in) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(8192);
        int matched = 0;
        while (matched < 4) {
            int c = in.read();
            if (c < 0) {
                return null;
            }
            busy = true;
            if (!bytes.hasRemaining()) {
                if (bytes.capacity() >= MAX_HEAD) {
                    throw new IOException("head over its bound");
                }
                bytes = ByteBuffer.allocate(bytes.capacity() * 2).put(bytes.flip());
            }
            bytes.put((byte) c);
            boolean expected = c == (matched % 2 == 0 ? '\r' : '\n');
            matched = expected ? matched + 1 : c == '\r' ? 1 : 0;
        }
        return new String(bytes.array(), 0, bytes.position() - 4, StandardCharsets.ISO_8859_1);
    }
}
