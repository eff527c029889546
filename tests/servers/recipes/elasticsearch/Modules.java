package argus.servers;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** The folder of modules that a node wants in its home: one folder each, with a descriptor and links to its jars. */
final class Modules {
    private static final String DESCRIPTOR = "plugin-descriptor.properties";
    private static final String SECURITY = "x-pack-security";
    private static final String HTTP = "transport-netty4";

    private Modules() {}

    static Path layOut(Path jars, Path modules, boolean secured) throws IOException {
        remove(modules);
        List<Path> all;
        try (Stream<Path> files = Files.list(jars)) {
            all = files.filter(file -> file.toString().endsWith(".jar")).toList();
        }
        for (Path jar : all) {
            String descriptor = descriptorOf(jar);
            String name = descriptor.lines().filter(line -> line.startsWith("name=")).findFirst().orElseThrow().substring(5);
            if (name.equals(SECURITY) && !secured) {
                continue;
            }
            Path folder = Files.createDirectories(modules.resolve(name));
            Files.writeString(folder.resolve(DESCRIPTOR), descriptor);
            link(jar, folder);
            if (name.equals(SECURITY)) {
                // It has an HTTP transport of its own, made of the same classes.
                for (Path http : all.stream().filter(other -> other.getFileName().toString().startsWith(HTTP)).toList()) {
                    link(http, folder);
                }
            }
        }
        return modules;
    }

    private static void link(Path jar, Path folder) throws IOException {
        Files.createSymbolicLink(folder.resolve(jar.getFileName()), jar);
    }

    /** Each jar carries its descriptor. We run on the class path, so no module has a Java module's name. */
    private static String descriptorOf(Path jar) throws IOException {
        try (JarFile file = new JarFile(jar.toFile())) {
            JarEntry entry = file.stream().filter(e -> e.getName().endsWith(DESCRIPTOR)).findFirst().orElseThrow();
            try (InputStream in = file.getInputStream(entry)) {
                String text = new String(in.readAllBytes(), StandardCharsets.ISO_8859_1);
                return text.lines().filter(line -> !line.startsWith("modulename=")).collect(Collectors.joining("\n", "", "\n"));
            }
        }
    }

    private static void remove(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
