package ramen.client;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/** A proxy that answers a WebSocket's handshake with a page of its own, and may be slow. */
final class Proxy implements AutoCloseable {
  volatile boolean blocking = true;
  volatile int bytesPerSecond; // to the device; 0: as fast as it goes
  private final ServerSocket listener;
  private final int target;
  private final Set<Socket> sockets = ConcurrentHashMap.newKeySet();

  Proxy(int target) throws IOException {
    this.target = target;
    this.listener = new ServerSocket(0, 50, InetAddress.getLoopbackAddress());
    thread(this::accept);
  }

  int port() {
    return listener.getLocalPort();
  }

  private interface Work {
    void run() throws Exception;
  }

  private static void thread(Work work) {
    Thread t =
        new Thread(
            () -> {
              try {
                work.run();
              } catch (Exception e) {
                // one of the two has closed
              }
            },
            "proxy");
    t.setDaemon(true);
    t.start();
  }

  private void accept() throws IOException {
    while (true) {
      Socket device = listener.accept();
      sockets.add(device);
      thread(() -> serve(device));
    }
  }

  private void serve(Socket device) throws Exception {
    try (Socket near = device) {
      byte[] head = head(near.getInputStream());
      if (blocking && new String(head, StandardCharsets.ISO_8859_1).split("\r\n")[0].contains("/ramen/ws")) {
        near.getOutputStream().write("HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".getBytes(StandardCharsets.US_ASCII));
        return;
      }
      try (Socket far = new Socket(InetAddress.getLoopbackAddress(), target)) {
        sockets.add(far);
        far.setReceiveBufferSize(4096);
        far.getOutputStream().write(head);
        thread(() -> pump(near, far, false));
        pump(far, near, true);
      }
    }
  }

  private static byte[] head(InputStream in) throws IOException {
    ByteArrayOutputStream head = new ByteArrayOutputStream();
    for (int b; (b = in.read()) >= 0; ) {
      head.write(b);
      if (b == '\n' && head.toString("ISO-8859-1").endsWith("\r\n\r\n")) {
        return head.toByteArray();
      }
    }
    throw new IOException("no head");
  }

  private void pump(Socket from, Socket to, boolean toDevice) throws Exception {
    byte[] chunk = new byte[1024];
    try {
      OutputStream out = to.getOutputStream();
      for (int n; (n = from.getInputStream().read(chunk)) >= 0; ) {
        out.write(chunk, 0, n);
        if (toDevice && bytesPerSecond > 0) {
          TimeUnit.MICROSECONDS.sleep(n * 1_000_000L / bytesPerSecond);
        }
      }
    } finally {
      to.close();
    }
  }

  @Override
  public void close() throws IOException {
    listener.close();
    for (Socket s : sockets) {
      s.close();
    }
  }
}
