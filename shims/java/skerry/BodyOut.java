package skerry;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;

/** An answer's body: the head goes out with the first piece, each piece at once. */
final class BodyOut extends OutputStream {
    private static final byte[] LAST = "0\r\n\r\n".getBytes(StandardCharsets.US_ASCII);

    private final OutputStream raw;
    private final boolean bodiless;
    private final boolean chunked;
    private byte[] head;
    private long left;
    private boolean ended;

    BodyOut(OutputStream raw, byte[] head, boolean bodiless, boolean chunked, long length) {
        this.raw = raw;
        this.head = head;
        this.bodiless = bodiless;
        this.chunked = chunked;
        this.left = bodiless ? 0 : length;
    }

    @Override
    public void write(int one) throws IOException {
        write(new byte[] {(byte) one}, 0, 1);
    }

    @Override
    public void write(byte[] bytes, int at, int size) throws IOException {
        if (ended) {
            throw new IOException("the answer has ended");
        }
        if (bodiless || size == 0) {
            return;
        }
        if (!chunked) {
            if (size > left) {
                throw new IOException("more body than the announced length");
            }
            left -= size;
            send(bytes, at, size, new byte[0], new byte[0]);
        } else {
            send(bytes, at, size, (Integer.toHexString(size) + "\r\n").getBytes(StandardCharsets.US_ASCII), "\r\n".getBytes(StandardCharsets.US_ASCII));
        }
    }

    private void send(byte[] bytes, int at, int size, byte[] before, byte[] after) throws IOException {
        byte[] first = head == null ? new byte[0] : head;
        head = null;
        byte[] whole = new byte[first.length + before.length + size + after.length];
        System.arraycopy(first, 0, whole, 0, first.length);
        System.arraycopy(before, 0, whole, first.length, before.length);
        System.arraycopy(bytes, at, whole, first.length + before.length, size);
        System.arraycopy(after, 0, whole, first.length + before.length + size, after.length);
        raw.write(whole);
    }

    @Override
    public void flush() throws IOException {
        if (head != null) {
            send(new byte[0], 0, 0, new byte[0], new byte[0]);
        }
    }

    @Override
    public void close() throws IOException {
        end();
    }

    void end() throws IOException {
        if (ended) {
            return;
        }
        flush();
        ended = true;
        if (chunked) {
            raw.write(LAST);
        }
    }

    boolean complete() {
        return ended && left == 0;
    }
}
