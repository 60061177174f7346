package skerry;

import java.io.ByteArrayOutputStream;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** What a spare is to become, as it reads it from its descriptor (shims/README.md). Bytes throughout: a value need not be text. */
final class Assignment {
    private static final String[] ENVIRONMENT_CLASSES = {"", "$ExternalData", "$Variable", "$Value", "$StringEnvironment"}; // loaded, not initialized
    private static final int PIECE_BYTES = 65536;
    private static final String VARIABLE = "SKERRY_ASSIGNMENT_FD=";

    private Assignment() {}

    /**
     * The descriptor that a spare waits at, or -1. Not asked of System.getenv(): Java reads the environment once, and what a spare is started with is not the
     * function's.
     */
    static int descriptor() throws IOException {
        for (byte[] entry : split(Files.readAllBytes(Path.of("/proc/self/environ")))) {
            String text = new String(entry, StandardCharsets.ISO_8859_1);
            if (text.startsWith(VARIABLE)) {
                return Integer.parseInt(text.substring(VARIABLE.length()));
            }
        }
        return -1;
    }

    /** Everything that follows the wait, once before it: with what is here already, and with nothing read of it by Java. */
    static void practise() throws Exception {
        byte[] present = Files.readAllBytes(Path.of("/proc/self/environ"));
        ByteArrayOutputStream like = new ByteArrayOutputStream();
        like.write('S');
        like.write(present);
        like.write("\0NAME=value\0".getBytes(StandardCharsets.UTF_8));
        environment(like.toByteArray());
        OwnProcess.setEnvironment(split(present));
        OwnProcess.setFolder(".");
        for (String name : ENVIRONMENT_CLASSES) {
            Class.forName("java.lang.ProcessEnvironment" + name, false, null);
        }
    }

    /** Waits for the end of the pipe, which says that all is in place. Null where nobody wants the spare any more. */
    static List<byte[]> read(int descriptor) throws IOException, StartFailed {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        byte[] piece = new byte[PIECE_BYTES];
        try (InputStream in = new FileInputStream(Shim.descriptor(descriptor))) {
            for (int n = in.read(piece); n >= 0; n = in.read(piece)) {
                all.write(piece, 0, n);
            }
        }
        return all.size() == 0 ? null : environment(all.toByteArray());
    }

    private static List<byte[]> environment(byte[] all) throws StartFailed {
        List<byte[]> entries = split(all);
        int end = 0;
        boolean withSecrets = entries.get(0)[0] == 'S';
        entries.set(0, Arrays.copyOfRange(entries.get(0), 1, entries.get(0).length));
        while (end < entries.size() && entries.get(end).length > 0) {
            end++;
        }
        List<byte[]> secrets = withSecrets && end < entries.size() ? entries.subList(end + 1, entries.size()) : List.of();
        if (withSecrets && (secrets.isEmpty() || secrets.get(0).length == 0 || secrets.get(0)[0] == 1)) {
            throw new StartFailed("the secrets were not delivered");
        }
        // What the plan itself says wins over a secret of the same name.
        Map<String, byte[]> found = new LinkedHashMap<>();
        secrets.forEach(entry -> keep(found, entry));
        entries.subList(0, end).forEach(entry -> keep(found, entry));
        return new ArrayList<>(found.values());
    }

    private static void keep(Map<String, byte[]> found, byte[] entry) {
        String text = new String(entry, StandardCharsets.ISO_8859_1);
        int equals = text.indexOf('=');
        if (equals > 0) {
            found.put(text.substring(0, equals), entry);
        }
    }

    /** The pieces that NUL bytes end. */
    private static List<byte[]> split(byte[] all) {
        List<byte[]> pieces = new ArrayList<>();
        int begin = 0;
        for (int i = 0; i < all.length; i++) {
            if (all[i] == 0) {
                pieces.add(Arrays.copyOfRange(all, begin, i));
                begin = i + 1;
            }
        }
        if (begin < all.length) {
            pieces.add(Arrays.copyOfRange(all, begin, all.length));
        }
        return pieces;
    }
}
