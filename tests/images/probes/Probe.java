import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.net.Inet4Address;
import java.net.Inet6Address;
import java.net.InetAddress;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.time.Instant;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.Locale;
import java.util.zip.CRC32;
import javax.net.ssl.SSLException;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;

/** What a Java function may do with its image; prints what it saw as JSON. Arguments: good port, bad port, library to load. */
public class Probe {
  static String get(String host, String port) throws Exception {
    HttpRequest request = HttpRequest.newBuilder(URI.create("https://" + host + ":" + port + "/")).build();
    return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body();
  }

  static String refused(String host, String port) throws Exception {
    try {
      return get(host, port);
    } catch (SSLException error) {
      return "refused: " + error.getMessage().replaceAll("[^A-Za-z0-9 .:]", "");
    }
  }

  static String address(Class<? extends InetAddress> kind) throws Exception {
    return Arrays.stream(InetAddress.getAllByName("localhost")).filter(kind::isInstance).findFirst().orElseThrow().getHostAddress();
  }

  static String local(ZoneId zone) {
    return DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm z", Locale.ENGLISH).withZone(zone).format(Instant.ofEpochSecond(1719792000));
  }

  static int authorities() throws Exception {
    TrustManagerFactory factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    factory.init((KeyStore) null);
    return ((X509TrustManager) factory.getTrustManagers()[0]).getAcceptedIssuers().length;
  }

  /** Pixels that a drawn word leaves: none if no font can be loaded. */
  static int ink() {
    BufferedImage image = new BufferedImage(200, 40, BufferedImage.TYPE_INT_RGB);
    Graphics2D graphics = image.createGraphics();
    graphics.setColor(Color.WHITE);
    graphics.setFont(new Font(Font.SANS_SERIF, Font.PLAIN, 20));
    graphics.drawString("Skerry", 5, 30);
    int count = 0;
    for (int x = 0; x < 200; x++) for (int y = 0; y < 40; y++) if ((image.getRGB(x, y) & 0xffffff) != 0) count++;
    return count;
  }

  public static void main(String[] arguments) throws Exception {
    System.load(arguments[2]);
    CRC32 crc = new CRC32();
    crc.update("123456789".getBytes());
    System.out.printf("{\"tls\": \"%s\", \"untrusted\": \"%s\", \"other_name\": \"%s\", \"v4\": \"%s\", \"v6\": \"%s\", \"utc\": \"%s\", \"berlin\": \"%s\","
        + " \"system_zone\": \"%s\", \"library\": %b, \"authorities\": %d, \"ink\": %d}%n",
        get("localhost", arguments[0]), refused("localhost", arguments[1]), refused("127.0.0.1", arguments[0]),
        address(Inet4Address.class), address(Inet6Address.class), local(ZoneId.of("UTC")), local(ZoneId.of("Europe/Berlin")),
        local(ZoneId.systemDefault()), crc.getValue() == 0xCBF43926L, authorities(), ink());
  }
}
