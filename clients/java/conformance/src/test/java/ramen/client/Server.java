package ramen.client;

import java.io.File;
import java.io.IOException;
import java.net.HttpURLConnection;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** A real server, {@code ramen serve --dev}, on ports of its own, which it keeps when it is killed and started again. */
final class Server implements AutoCloseable {
  final String url;
  final String grpc;
  final String backend;
  final String backendGrpc;
  final int devicesPort;
  private final Path log;
  private final List<String> command = new ArrayList<>();
  private Process process;

  /** Without flags it is one without authentication. */
  Server(Path folder, String... flags) throws IOException {
    int[] ports = freePorts();
    devicesPort = ports[0];
    url = "http://127.0.0.1:" + ports[0];
    grpc = "127.0.0.1:" + ports[1];
    backend = "http://127.0.0.1:" + ports[2];
    backendGrpc = "127.0.0.1:" + ports[3];
    log = folder.resolve("server.log");
    command.addAll(Arrays.asList(binary(), "serve", "--data=" + folder.resolve("data")));
    command.addAll(flags.length == 0 ? Arrays.asList("--dev") : Arrays.asList(flags));
    String[] names = {"devices", "devices-grpc", "backends", "backends-grpc"};
    for (int i = 0; i < names.length; i++) {
      command.add("--listen." + names[i] + "=127.0.0.1:" + ports[i]);
    }
  }

  /** RAMEN_BINARY, else the repository's. */
  static String binary() {
    String named = System.getenv("RAMEN_BINARY");
    File file = named != null ? new File(named) : new File("../../../bin/ramen");
    if (!file.canExecute()) {
      throw new IllegalStateException(file + " is missing: go build -o bin/ramen ./cmd/ramen, or set RAMEN_BINARY");
    }
    return file.getAbsolutePath();
  }

  private static int[] freePorts() throws IOException {
    ServerSocket[] sockets = new ServerSocket[4];
    int[] ports = new int[4];
    for (int i = 0; i < 4; i++) {
      sockets[i] = new ServerSocket(0, 1, InetAddress.getLoopbackAddress());
      ports[i] = sockets[i].getLocalPort();
    }
    for (ServerSocket s : sockets) {
      s.close();
    }
    return ports;
  }

  Server start() throws Exception {
    process = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile())).start();
    eventually("the server is ready", () -> {
      if (!process.isAlive()) {
        throw new IllegalStateException("the server has ended: " + tail());
      }
      return ready();
    });
    return this;
  }

  private String tail() {
    try {
      String text = new String(Files.readAllBytes(log));
      return text.substring(Math.max(0, text.length() - 2000));
    } catch (IOException e) {
      return e.toString();
    }
  }

  private boolean ready() {
    try {
      HttpURLConnection c = (HttpURLConnection) new URL(backend + "/readyz").openConnection();
      c.setConnectTimeout(5_000);
      c.setReadTimeout(5_000);
      return c.getResponseCode() == 200;
    } catch (IOException e) {
      return false;
    }
  }

  /** kill -9 */
  void kill() throws Exception {
    end(true);
  }

  /** In order: it drains. */
  void stop() throws Exception {
    end(false);
  }

  private void end(boolean hard) throws Exception {
    if (process == null) {
      return;
    }
    if (hard) {
      process.destroyForcibly();
    } else {
      process.destroy();
    }
    if (!process.waitFor(60, TimeUnit.SECONDS)) {
      throw new IllegalStateException("the server does not end");
    }
    process = null;
  }

  @Override
  public void close() {
    if (process != null) {
      process.destroyForcibly().onExit().join();
    }
  }

  /** Waits until something has come true, for a minute at most. */
  static void eventually(String what, BooleanSupplier condition) throws InterruptedException {
    long until = System.nanoTime() + TimeUnit.MINUTES.toNanos(1);
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() > until) {
        throw new AssertionError("it did not come true in time: " + what);
      }
      TimeUnit.MILLISECONDS.sleep(10);
    }
  }
}
