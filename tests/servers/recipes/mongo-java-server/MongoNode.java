package argus.servers;

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import java.io.ByteArrayInputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/**
 * mongo-java-server on loopback, documents on disk.
 *
 * <p>Arguments: home folder, port, and for TLS the files of a certificate and its EC key (PEM). Prints
 * {@code READY URI} once it serves.
 */
public final class MongoNode {
    /** What a 5.0 says of itself: the library's own claims are older than what current drivers talk to. */
    private enum Fifth implements MongoVersion {
        INSTANCE;

        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }

        @Override
        public String toString() {
            return "5.0.0";
        }
    }

    public static void main(String[] arguments) throws Exception {
        ParentWatch.start();
        Path documents = Path.of(arguments[0]).toAbsolutePath().resolve("documents.mv");
        int port = Integer.parseInt(arguments[1]);
        H2Backend backend = new H2Backend(documents.toString());
        backend.version(Fifth.INSTANCE);
        MongoServer server = new MongoServer(backend);
        boolean secured = arguments.length > 2;
        if (secured) {
            server.enableSsl(key(Path.of(arguments[3])), null, certificate(Path.of(arguments[2])));
        }
        server.bind("127.0.0.1", port);
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        System.out.println("READY mongodb://127.0.0.1:" + port + (secured ? "/?tls=true" : ""));
        new CountDownLatch(1).await();
    }

    private static X509Certificate certificate(Path pem) throws Exception {
        var bytes = new ByteArrayInputStream(Files.readAllBytes(pem));
        return (X509Certificate) CertificateFactory.getInstance("X.509").generateCertificate(bytes);
    }

    private static PrivateKey key(Path pem) throws Exception {
        String body = Files.readString(pem).replaceAll("-----[A-Z ]+-----", "").replaceAll("\\s", "");
        return KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(Base64.getDecoder().decode(body)));
    }
}
