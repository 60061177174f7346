package skerry;

import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Puts the author's code behind the shim's on the class path: {@code classes/}, then the jars of {@code lib/} by name.
 *
 * <p>By the system class loader itself, so that all is as if the path had been given at the start: a class loader of ours in between would be seen by
 * whoever asks the system's for a class or a resource. It has a method for that, for agents; the jar's manifest opens its package.
 */
final class Code {
    private Code() {}

    static void add(Path app) throws IOException, ReflectiveOperationException {
        ClassLoader system = ClassLoader.getSystemClassLoader();
        Method append = system.getClass().getDeclaredMethod("appendToClassPathForInstrumentation", String.class);
        append.setAccessible(true);
        StringBuilder all = new StringBuilder(System.getProperty("java.class.path"));
        for (Path entry : entries(app)) {
            append.invoke(system, entry.toString());
            all.append(':').append(entry);
        }
        System.setProperty("java.class.path", all.toString());
    }

    static List<Path> entries(Path app) throws IOException {
        Path libraries = app.resolve("lib");
        if (!Files.isDirectory(libraries)) {
            return List.of(app.resolve("classes"));
        }
        try (Stream<Path> files = Files.list(libraries)) {
            return Stream.concat(Stream.of(app.resolve("classes")), files.filter(file -> file.toString().endsWith(".jar")).sorted()).toList();
        }
    }
}
