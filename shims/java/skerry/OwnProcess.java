package skerry;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Collection;
import sun.misc.Unsafe;

/** This process's folder and environment, which Java only reads. By native/process.cc, which lies beside the jar. */
final class OwnProcess {
    private static final Unsafe MEMORY = memory();

    private OwnProcess() {}

    /** Before anything else here. */
    static void load(Path library) {
        System.load(library.toString());
    }

    static void setFolder(String path) throws IOException {
        byte[] bytes = path.getBytes(StandardCharsets.UTF_8);
        long address = MEMORY.allocateMemory(bytes.length + 1);
        try {
            put(bytes, address);
            int error = changeFolder(address);
            if (error != 0) {
                throw new IOException("cannot change to " + path + " (error " + error + ")");
            }
        } finally {
            MEMORY.freeMemory(address);
        }
    }

    /** Entries NAME=value. What asks System.getenv() from now on for the first time sees these, and so does every child. */
    static void setEnvironment(Collection<byte[]> entries) throws IOException {
        long size = 0;
        for (byte[] entry : entries) {
            size += entry.length + 1;
        }
        long block = MEMORY.allocateMemory(Math.max(1, size));
        long at = block;
        for (byte[] entry : entries) {
            at = put(entry, at);
        }
        int error = replaceEnvironment(block, entries.size());
        if (error != 0) {
            throw new IOException("no memory for the environment");
        }
    }

    private static long put(byte[] text, long at) {
        MEMORY.copyMemory(text, Unsafe.ARRAY_BYTE_BASE_OFFSET, null, at, text.length);
        MEMORY.putByte(at + text.length, (byte) 0);
        return at + text.length + 1;
    }

    private static Unsafe memory() {
        try {
            var field = Unsafe.class.getDeclaredField("theUnsafe");
            field.setAccessible(true);
            return (Unsafe) field.get(null);
        } catch (ReflectiveOperationException missing) {
            throw new IllegalStateException(missing);
        }
    }

    private static native int changeFolder(long path);

    private static native int replaceEnvironment(long block, int count);
}
