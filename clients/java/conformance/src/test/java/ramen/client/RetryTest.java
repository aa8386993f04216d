package ramen.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import ramen.client.publish.Publication;
import ramen.client.publish.PublishException;
import ramen.client.publish.RamenPublisher;
import ramen.client.publish.Result;
import ramen.client.wire.JsonObject;

/** A publisher, and a server that answers what the test says. C 14 */
class RetryTest {
  private HttpServer server;
  private ExecutorService threads;
  private RamenPublisher publisher;
  private final Deque<String> answers = new ArrayDeque<>(); // status, Retry-After, body; guarded by itself; none: all is accepted
  private final List<List<String>> requests = new ArrayList<>(); // ids; guarded by answers
  private volatile CountDownLatch gate = new CountDownLatch(0);

  @BeforeEach
  void start() throws IOException {
    server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    threads = Executors.newCachedThreadPool();
    server.setExecutor(threads);
    server.createContext("/v1/publish", this::answer);
    server.start();
    publisher = RamenPublisher.builder("http://127.0.0.1:" + server.getAddress().getPort()).build();
  }

  @AfterEach
  void stop() {
    gate.countDown();
    publisher.close();
    server.stop(0);
    threads.shutdownNow();
  }

  private void answer(HttpExchange x) throws IOException {
    try {
      ByteArrayOutputStream body = new ByteArrayOutputStream();
      byte[] chunk = new byte[4096];
      for (int n; (n = x.getRequestBody().read(chunk)) >= 0; ) {
        body.write(chunk, 0, n);
      }
      List<String> ids = new ArrayList<>();
      StringBuilder results = new StringBuilder();
      for (JsonObject m : JsonObject.of(new String(body.toByteArray(), StandardCharsets.UTF_8)).objects("messages")) {
        ids.add(m.string("id"));
        results.append(results.length() == 0 ? "" : ",").append("{\"id\":\"").append(m.string("id")).append("\",\"status\":\"accepted\",\"devices\":1}");
      }
      String said;
      synchronized (answers) {
        requests.add(ids);
        said = answers.poll();
      }
      gate.await();
      if (said == null) {
        said = "200||{\"results\":[" + results + "]}";
      }
      String[] parts = said.split("\\|", 3);
      if (parts[0].equals("cut")) {
        x.close();
        return;
      }
      if (!parts[1].isEmpty()) {
        x.getResponseHeaders().set("Retry-After", parts[1]);
      }
      byte[] bytes = parts[2].getBytes(StandardCharsets.UTF_8);
      x.sendResponseHeaders(Integer.parseInt(parts[0]), bytes.length);
      x.getResponseBody().write(bytes);
    } catch (Exception e) {
      throw new IOException(e);
    } finally {
      x.close();
    }
  }

  private void script(String... said) {
    synchronized (answers) {
      answers.addAll(Arrays.asList(said));
    }
  }

  private static Publication to(String user, String id) {
    return Publication.to(user).id(id).json("1").build();
  }

  @Test
  void whatCannotBeTakenNowGoesAgainUnderItsId() { // C 14.1, 14.2
    script("503||<html>", "429|1|{\"error\":{\"code\":\"resource_exhausted\",\"message\":\"\"}}", "cut||", "502||", "200||<html>");
    long begin = System.nanoTime();
    Publication p = Publication.to("u").json("1").build();
    assertEquals(Result.Status.ACCEPTED, publisher.publish(p).join().status());
    assertTrue(System.nanoTime() - begin >= TimeUnit.SECONDS.toNanos(1), "after Retry-After");
    synchronized (answers) {
      assertTrue(requests.size() >= 6, "" + requests);
      requests.forEach(ids -> assertEquals(Arrays.asList(p.id()), ids));
    }
  }

  @Test
  void everythingElseIsToldAtOnce() { // C 14.2
    script("401||", "404||<html>", "403||{\"error\":{\"code\":\"permission_denied\",\"message\":\"scope\"}}");
    for (String code : new String[] {"unauthenticated", "invalid_argument", "permission_denied"}) {
      Throwable e = assertThrows(CompletionException.class, () -> publisher.publish(to("u", "a")).join()).getCause();
      assertEquals(code, assertInstanceOf(PublishException.class, e).code());
    }
    synchronized (answers) {
      assertEquals(3, requests.size());
    }
  }

  @Test
  void ofABatchWhatIsToBeTriedAgainGoesAlone() { // C 14.5
    script(
        "200||{\"results\":[{\"id\":\"a\",\"status\":\"accepted\"},{\"id\":\"b\",\"status\":\"rejected\",\"error\":{\"code\":\"unavailable\",\"message\":\"\"}},"
            + "{\"id\":\"c\",\"status\":\"rejected\",\"error\":{\"code\":\"invalid_argument\",\"message\":\"no\"}}]}");
    List<Result> results = publisher.publishAll(Arrays.asList(to("u", "a"), to("u", "b"), to("u", "c"))).join();
    assertEquals(Arrays.asList("accepted a", "accepted b", "rejected c: invalid_argument: no"), Arrays.asList(results.get(0) + "", results.get(1) + "", results.get(2) + ""));
    synchronized (answers) {
      assertEquals(Arrays.asList(Arrays.asList("a", "b", "c"), Arrays.asList("b")), requests);
    }
  }

  @Test
  void requestsAreSharedAndBounded() throws Exception { // C 14.4
    gate = new CountDownLatch(1);
    List<CompletableFuture<Result>> out = new ArrayList<>();
    for (int i = 0; i < 1_000; i++) {
      out.add(publisher.publish(to("u" + i, "m" + i)));
      out.add(publisher.publish(to("same", "s" + i)));
    }
    Server.eventually("four requests are out", () -> count() == 4);
    gate.countDown();
    out.forEach(CompletableFuture::join);
    List<String> same = new ArrayList<>();
    Set<String> all = new HashSet<>();
    synchronized (answers) {
      for (List<String> ids : requests) {
        assertTrue(ids.size() <= 256);
        all.addAll(ids);
        ids.stream().filter(id -> id.startsWith("s")).forEach(same::add);
      }
      assertTrue(requests.size() <= 20, requests.size() + " requests");
    }
    assertEquals(2_000, all.size());
    for (int i = 0; i < 1_000; i++) {
      assertEquals("s" + i, same.get(i), "the order to one user");
    }
  }

  private int count() {
    synchronized (answers) {
      return requests.size();
    }
  }

  @Test
  void closingWaitsForWhatIsOut() throws Exception { // C 14.7
    gate = new CountDownLatch(1);
    CompletableFuture<Result> out = publisher.publish(to("u", "a"));
    Server.eventually("the request is out", () -> count() == 1);
    CompletableFuture<Void> closed = CompletableFuture.runAsync(publisher::close);
    gate.countDown();
    closed.get(30, TimeUnit.SECONDS);
    assertEquals(Result.Status.ACCEPTED, out.get(1, TimeUnit.SECONDS).status());
  }
}
