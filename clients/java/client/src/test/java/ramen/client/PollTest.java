package ramen.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import okhttp3.HttpUrl;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import ramen.client.wire.Conn;
import ramen.client.wire.End;
import ramen.client.wire.Frame;
import ramen.client.wire.Http;
import ramen.client.wire.Opening;
import ramen.client.wire.PollConn;

/** The times of a poll's answer, in virtual time, over a real socket. */
@Timeout(60)
class PollTest implements Conn.Events {
  private final Semaphore signs = new Semaphore(0);
  private volatile End end;

  @Override
  public void alive() {
    signs.release();
  }

  @Override
  public void frame(Frame frame) {}

  @Override
  public void ended(End end) {
    if (this.end == null) {
      this.end = end;
    }
  }

  @Test
  void answerHasItsTimeForTheHeadAndThenForEachByte() throws Exception { // C 3.3
    VirtualLoop loop = new VirtualLoop();
    ExecutorService threads = Executors.newCachedThreadPool();
    try (ServerSocket server = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      HttpUrl url = HttpUrl.get("http://127.0.0.1:" + server.getLocalPort());
      Opening opening = new Opening("u", "d", "", DeviceContext.EMPTY, "", 0, 0);
      PollConn conn = new PollConn(new Http(null, url, Collections.emptyMap(), threads), opening, 25, loop, this);
      try (Socket socket = server.accept()) {
        BufferedReader in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
        while (!in.readLine().isEmpty()) {
          // the request's head
        }
        OutputStream out = socket.getOutputStream();
        loop.pass(9_999);
        say(out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n");
        loop.pass(9_999);
        assertNull(end, "the head is a sign of life");
        say(out, "{");
        loop.pass(9_999);
        assertNull(end, "each byte is");
        loop.pass(1);
        assertEquals("network: a poll was not answered in time", end + "");
      } finally {
        conn.close();
      }
    } finally {
      threads.shutdownNow();
      assertTrue(threads.awaitTermination(10, TimeUnit.SECONDS));
    }
  }

  /** Returns once the device has seen it. */
  private void say(OutputStream out, String text) throws Exception {
    out.write(text.getBytes(StandardCharsets.US_ASCII));
    out.flush();
    assertTrue(signs.tryAcquire(30, TimeUnit.SECONDS));
  }
}
