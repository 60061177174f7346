package skerry;

import java.io.IOException;
import java.io.InputStream;

/** A request's body: exactly its length, or its chunks. Never reads past its end. */
final class BodyIn extends InputStream {
    private final InputStream in;
    private final boolean chunked;
    private long left;
    private boolean over;
    private boolean first = true;

    BodyIn(InputStream in, boolean chunked, long length) {
        this.in = in;
        this.chunked = chunked;
        this.left = chunked ? 0 : length;
        this.over = !chunked && length == 0;
    }

    @Override
    public int read() throws IOException {
        byte[] one = new byte[1];
        return read(one, 0, 1) < 0 ? -1 : one[0] & 0xFF;
    }

    @Override
    public int read(byte[] into, int at, int size) throws IOException {
        if (size == 0) {
            return 0;
        }
        if (!over && left == 0 && chunked) {
            nextChunk();
        }
        if (over) {
            return -1;
        }
        int n = in.read(into, at, (int) Math.min(size, left));
        if (n < 0) {
            throw new IOException("the request was cut short");
        }
        left -= n;
        if (left == 0 && !chunked) {
            over = true;
        }
        return n;
    }

    @Override
    public int available() throws IOException {
        return over ? 0 : (int) Math.min(in.available(), left);
    }

    private void nextChunk() throws IOException {
        if (!first) {
            readLine();
        }
        first = false;
        String size = readLine();
        int semicolon = size.indexOf(';');
        left = Long.parseLong((semicolon < 0 ? size : size.substring(0, semicolon)).trim(), 16);
        if (left == 0) {
            over = true;
            while (!readLine().isEmpty()) {
                // Trailers are dropped.
            }
        }
    }

    private String readLine() throws IOException {
        StringBuilder line = new StringBuilder();
        for (int c = in.read(); c != '\n'; c = in.read()) {
            if (c < 0 || line.length() > 8192) {
                throw new IOException("a malformed chunk");
            }
            if (c != '\r') {
                line.append((char) c);
            }
        }
        return line.toString();
    }

    /** Reads what the handler left, at most {@code bound}; false when there is more. */
    boolean drain(int bound) throws IOException {
        if (left > bound) {
            return false;
        }
        byte[] buffer = new byte[8192];
        int drained = 0;
        for (int n = read(buffer, 0, buffer.length); n >= 0; n = read(buffer, 0, buffer.length)) {
            drained += n;
            if (drained > bound) {
                return false;
            }
        }
        return true;
    }
}
