package argus.servers;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.elasticsearch.common.Priority;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.KeyStoreWrapper;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.core.TimeValue;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.plugins.PluginBundle;
import org.elasticsearch.plugins.PluginsLoader;

/**
 * One Elasticsearch node on loopback, from its vendor's published jars.
 *
 * <p>Arguments: home folder, folder of module jars, HTTP port, then settings {@code key=value}. A setting
 * {@code bootstrap.password} turns security on; the user is {@code elastic}. Prints {@code READY URL} once it serves.
 */
public final class ElasticsearchNode {
    private static final String NAME = "argus-test";

    public static void main(String[] arguments) throws Exception {
        ParentWatch.start();
        Path home = Path.of(arguments[0]).toAbsolutePath();
        Path jars = Path.of(arguments[1]).toAbsolutePath();
        String port = arguments[2];

        String password = null;
        Settings.Builder settings = Settings.builder()
            .put("path.home", home.toString())
            .put("path.data", home.resolve("data").toString())
            .put("path.logs", home.resolve("logs").toString())
            .put("cluster.name", NAME)
            .put("node.name", NAME)
            .put("network.host", "127.0.0.1")
            .put("http.port", port)
            .put("transport.port", "0")
            .put("discovery.type", "single-node")
            // Else a developer's full disk makes every index read-only.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .put("node.processors", 2);
        for (String setting : Arrays.asList(arguments).subList(3, arguments.length)) {
            String[] pair = setting.split("=", 2);
            if (pair[0].equals("bootstrap.password")) {
                password = pair[1];
            } else {
                settings.put(pair[0], pair[1]);
            }
        }
        settings.put("xpack.security.enabled", password != null);
        if (password != null) {
            settings.put("xpack.security.transport.ssl.enabled", false);
            KeyStoreWrapper secrets = KeyStoreWrapper.create();
            secrets.setString("bootstrap.password", password.toCharArray());
            settings.setSecureSettings(secrets);
        }

        for (String folder : List.of("config", "data", "logs", "plugins")) {
            Files.createDirectories(home.resolve(folder));
        }
        Path modules = Modules.layOut(jars, home.resolve("modules"), password != null);
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            settings.build(), Map.of(), home.resolve("config"), () -> NAME);
        LogConfigurator.configureESLogging();
        LogConfigurator.configureWithoutConfig(Settings.builder().put("logger.level", "WARN").build());
        PluginsLoader plugins = PluginsLoader.createPluginsLoader(
            bundles("loadModulesBundles", modules), bundles("loadPluginsBundles", home.resolve("plugins")), Map.of(), false);
        Node node = new Node(environment, plugins);
        node.start();
        // After a restart HTTP answers before the primaries do, and every login needs one.
        node.client().admin().cluster().prepareHealth(TimeValue.timeValueSeconds(120))
            .setWaitForYellowStatus().setWaitForEvents(Priority.LANGUID).get();
        String scheme = "true".equals(settings.get("xpack.security.http.ssl.enabled")) ? "https" : "http";
        System.out.println("READY " + scheme + "://127.0.0.1:" + port);
        new CountDownLatch(1).await();
    }

    /** 9 takes one argument more than 8. */
    @SuppressWarnings("unchecked")
    private static Set<PluginBundle> bundles(String method, Path folder) throws Exception {
        var found = Arrays.stream(PluginsLoader.class.getMethods()).filter(m -> m.getName().equals(method)).findFirst()
            .orElseThrow(() -> new NoSuchMethodException(method));
        Object bundles = found.getParameterCount() == 1 ? found.invoke(null, folder) : found.invoke(null, folder, false);
        return (Set<PluginBundle>) bundles;
    }
}
