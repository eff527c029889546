package argus.servers;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.opensearch.Version;
import org.opensearch.common.Priority;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.PluginInfo;

/**
 * One OpenSearch node on loopback, from its project's published jars.
 *
 * <p>Arguments: home folder, HTTP port, then settings {@code key=value}. Prints {@code READY URL} once it serves.
 */
public final class OpenSearchNode {
    private static final String NAME = "argus-test";

    /** Modules by class; where a major renamed one, both names stand here and the one that is there is taken. */
    private static final List<String> MODULES = List.of(
        "org.opensearch.transport.Netty4ModulePlugin",
        "org.opensearch.transport.netty4.Netty4ModulePlugin",
        "org.opensearch.transport.Netty4Plugin",
        "org.opensearch.index.reindex.ReindexModulePlugin",
        "org.opensearch.index.reindex.ReindexPlugin");

    /** A node takes its modules from the class path only when told in its constructor, which is protected. */
    private static final class Embedded extends Node {
        @SuppressWarnings({"unchecked", "rawtypes"})
        Embedded(Environment environment, Collection modules) {
            super(environment, modules, true);
        }
    }

    public static void main(String[] arguments) throws Exception {
        ParentWatch.start();
        Path home = Path.of(arguments[0]).toAbsolutePath();
        String port = arguments[1];
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
            .put("node.processors", 2)
            // Else a developer's full disk makes every index read-only.
            .put("cluster.routing.allocation.disk.threshold_enabled", false);
        for (String setting : Arrays.asList(arguments).subList(2, arguments.length)) {
            String[] pair = setting.split("=", 2);
            settings.put(pair[0], pair[1]);
        }
        for (String folder : List.of("config", "data", "logs", "modules", "plugins")) {
            Files.createDirectories(home.resolve(folder));
        }
        Environment environment = InternalSettingsPreparer.prepareEnvironment(
            settings.build(), Map.of(), home.resolve("config"), () -> NAME);
        LogConfigurator.configureWithoutConfig(Settings.builder().put("logger.level", "WARN").build());
        Node node = new Embedded(environment, modules());
        node.start();
        // After a restart HTTP answers before the primaries do.
        node.client().admin().cluster().prepareHealth()
            .setTimeout("120s").setWaitForYellowStatus().setWaitForEvents(Priority.LANGUID).get();
        System.out.println("READY http://127.0.0.1:" + port);
        new CountDownLatch(1).await();
    }

    /** 2 takes classes, 3 takes descriptions. */
    private static List<Object> modules() {
        List<Object> modules = new ArrayList<>();
        for (String name : MODULES) {
            try {
                Class<?> type = Class.forName(name);
                modules.add(Version.CURRENT.major < 3 ? type : new PluginInfo(type.getSimpleName(), "module", "1",
                    Version.CURRENT, "21", type.getName(), null, List.of(), false));
            } catch (ClassNotFoundException otherMajor) {
                // Named otherwise in this one.
            }
        }
        return modules;
    }
}
