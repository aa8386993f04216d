package ramen.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What README.md shows is compiled and run as it stands. The ports alone are others: a server may be running on the usual ones. */
class ReadmeTest {
  private static final String IMPORTS =
      "import java.io.*; import java.nio.file.*; import java.time.*; import ramen.client.*; import ramen.client.publish.*;\n";
  private static final String CLASSPATH = System.getProperty("java.class.path");

  @TempDir Path folder;

  private static Map<String, String> blocks() throws Exception {
    String text = new String(Files.readAllBytes(new File("../README.md").toPath()), StandardCharsets.UTF_8);
    Matcher m = Pattern.compile("<!-- test (\\w+) -->\n```java\n(.*?)```", Pattern.DOTALL).matcher(text);
    Map<String, String> found = new LinkedHashMap<>();
    while (m.find()) {
      found.put(m.group(1), m.group(2));
    }
    return found;
  }

  private Process run(String name, String block) throws Exception {
    String type = "Readme_" + name;
    Path source = folder.resolve(type + ".java");
    String text = IMPORTS + "class " + type + " {\n  public static void main(String[] args) throws Exception {\n" + block + "  }\n}\n";
    Files.write(source, text.getBytes(StandardCharsets.UTF_8));
    assertEquals(0, ToolProvider.getSystemJavaCompiler().run(null, null, null, "-cp", CLASSPATH, "-d", folder.toString(), source.toString()), name);
    String java = System.getProperty("java.home") + File.separator + "bin" + File.separator + "java";
    return new ProcessBuilder(java, "-cp", CLASSPATH + File.pathSeparator + folder, type).redirectErrorStream(true).start();
  }

  private static String line(Process p) throws Exception {
    return new BufferedReader(new InputStreamReader(p.getInputStream(), StandardCharsets.UTF_8)).readLine();
  }

  @Test
  void startRunsAsItStands() throws Exception {
    Map<String, String> blocks = blocks();
    try (Server server = new Server(Files.createDirectory(folder.resolve("server"))).start()) {
      blocks.replaceAll((name, text) -> text.replace("http://127.0.0.1:8080", server.url).replace("http://127.0.0.1:9080", server.backend));
      Process device = run("device", blocks.get("device"));
      try {
        Process publish = run("publish", blocks.get("publish"));
        String said = line(publish);
        assertTrue(said.startsWith("accepted "), said);
        assertTrue(publish.waitFor(60, TimeUnit.SECONDS));
        assertEquals(0, publish.exitValue());
        assertEquals("{\"text\":\"it works\"}", line(device));
      } finally {
        device.destroyForcibly().onExit().join();
      }
    }
    Process settings = run("settings", blocks.get("settings"));
    assertTrue(settings.waitFor(60, TimeUnit.SECONDS));
    assertEquals(0, settings.exitValue());
  }

  @Test
  void startIsShort() throws Exception {
    assertTrue(blocks().get("device").trim().split("\n").length <= 5);
  }
}
