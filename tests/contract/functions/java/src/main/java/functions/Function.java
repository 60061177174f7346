package functions;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpsConfigurator;
import com.sun.net.httpserver.HttpsServer;
import java.io.InputStream;
import java.lang.reflect.Field;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLHandshakeException;
import javax.net.ssl.TrustManagerFactory;

/** What an ordinary Java program does: each is "ok", or what went wrong. */
public class Function {
    private static final char[] PASSWORD = "changeit".toCharArray();

    static boolean threads() throws Exception {
        AtomicInteger count = new AtomicInteger();
        List<Thread> running = new ArrayList<>();
        for (int i = 0; i < 50; i++) running.add(new Thread(count::incrementAndGet));
        for (Thread thread : running) thread.start();
        for (Thread thread : running) thread.join();
        return count.get() == 50;
    }

    static boolean subprocesses() throws Exception {
        Process child = new ProcessBuilder("sh", "-c", "read word; echo $word $((6 * 7)); exit 3").start();
        child.getOutputStream().write("hello\n".getBytes(StandardCharsets.UTF_8));
        child.getOutputStream().close();
        String told = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        return told.equals("hello 42\n") && child.waitFor() == 3;
    }

    static boolean temporaryFiles() throws Exception {
        Path folder = Files.createTempDirectory("a"), file = Files.createTempFile(folder, "b", null);
        Files.write(file, new byte[1 << 20]);
        Path moved = Files.move(file, folder.resolve("moved"));
        return Files.size(moved) == 1 << 20 && folder.startsWith("/tmp");
    }

    static boolean tls() throws Exception {
        KeyStore keys = KeyStore.getInstance("PKCS12");
        try (InputStream in = Function.class.getResourceAsStream("/keys.p12")) {
            keys.load(in, PASSWORD);
        }
        KeyManagerFactory own = KeyManagerFactory.getInstance(KeyManagerFactory.getDefaultAlgorithm());
        own.init(keys, PASSWORD);
        KeyStore trusted = KeyStore.getInstance("PKCS12");
        trusted.load(null, null);
        trusted.setCertificateEntry("test", keys.getCertificate("test"));
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(own.getKeyManagers(), trust.getTrustManagers(), null);
        HttpsServer server = HttpsServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
        server.setHttpsConfigurator(new HttpsConfigurator(context));
        server.createContext("/", exchange -> {
            exchange.sendResponseHeaders(200, 8);
            exchange.getResponseBody().write("over tls".getBytes(StandardCharsets.UTF_8));
            exchange.close();
        });
        server.start();
        try {
            HttpRequest request = HttpRequest.newBuilder(URI.create("https://localhost:" + server.getAddress().getPort() + "/")).build();
            String good = HttpClient.newBuilder().sslContext(context).build().send(request, HttpResponse.BodyHandlers.ofString()).body();
            try {
                HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
                return false;
            } catch (SSLHandshakeException stranger) {
                return good.equals("over tls");
            }
        } finally {
            server.stop(0);
        }
    }

    static boolean maps() throws Exception {
        Field field = sun.misc.Unsafe.class.getDeclaredField("theUnsafe");
        field.setAccessible(true);
        sun.misc.Unsafe unsafe = (sun.misc.Unsafe) field.get(null);
        long size = 1L << 30, memory = unsafe.allocateMemory(size);
        unsafe.putByte(memory, (byte) 1);
        unsafe.putByte(memory + size - 1, (byte) 2);
        int sum = unsafe.getByte(memory) + unsafe.getByte(memory + size - 1);
        unsafe.freeMemory(memory);
        return sum == 3;
    }

    static boolean signals() throws Exception {
        CountDownLatch heard = new CountDownLatch(1);
        sun.misc.Signal.handle(new sun.misc.Signal("USR2"), signal -> heard.countDown());
        sun.misc.Signal.raise(new sun.misc.Signal("USR2"));
        return heard.await(5, TimeUnit.SECONDS);
    }

    public void handle(HttpExchange exchange) throws java.io.IOException {
        Map<String, Callable<Boolean>> work = new LinkedHashMap<>();
        work.put("threads", Function::threads);
        work.put("subprocesses", Function::subprocesses);
        work.put("temporary_files", Function::temporaryFiles);
        work.put("tls", Function::tls);
        work.put("maps", Function::maps);
        work.put("signals", Function::signals);
        List<String> told = new ArrayList<>();
        for (Map.Entry<String, Callable<Boolean>> each : work.entrySet()) {
            String answer;
            try {
                answer = each.getValue().call() ? "ok" : "wrong";
            } catch (Exception error) {
                answer = error.toString().replaceAll("[^A-Za-z0-9 .:]", "");
            }
            told.add("\"" + each.getKey() + "\": \"" + answer + "\"");
        }
        byte[] body = ("{" + String.join(", ", told) + "}").getBytes(StandardCharsets.UTF_8);
        exchange.sendResponseHeaders(200, body.length);
        exchange.getResponseBody().write(body);
    }
}
