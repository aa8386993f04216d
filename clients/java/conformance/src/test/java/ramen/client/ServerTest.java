package ramen.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static ramen.client.Server.eventually;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509TrustManager;
import okhttp3.OkHttpClient;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import ramen.client.grpc.RamenGrpc;
import ramen.client.publish.KnownDevice;
import ramen.client.publish.Publication;
import ramen.client.publish.PublishException;
import ramen.client.publish.RamenPublisher;
import ramen.client.publish.Result;
import ramen.client.publish.UnknownOutcomeException;

/** Devices and publishers against a real server. */
class ServerTest {
  @TempDir static Path folder;
  private static Server shared; // nobody kills it; each test has a user of its own

  @BeforeAll
  static void start() throws Exception {
    shared = new Server(Files.createDirectory(folder.resolve("shared"))).start();
  }

  @AfterAll
  static void stop() throws Exception {
    shared.close();
  }

  private static Server own() throws Exception {
    return new Server(Files.createTempDirectory(folder, "own")).start();
  }

  private static String user() {
    return UUID.randomUUID().toString();
  }

  private static RamenDevice.Builder at(Server server, Transport t, String user) {
    return RamenDevice.builder(server.url).grpc(RamenGrpc.devices(server.grpc)).transports(t).user(user).device("d");
  }

  private static RamenPublisher publisher(Server server, String way) {
    return way.equals("grpc") ? RamenPublisher.builder(RamenGrpc.backends(server.backendGrpc, "")).build() : RamenPublisher.builder(server.backend).build();
  }

  private static RamenPublisher publisher(Server server) {
    return publisher(server, "http");
  }

  private static Publication json(String user, String text) {
    return Publication.to(user).json(text).build();
  }

  /** A handler that keeps what came. */
  private static final class Inbox implements MessageHandler {
    final List<Message> messages = new CopyOnWriteArrayList<>();

    @Override
    public void handle(Message m) {
      messages.add(m);
    }

    List<String> texts() {
      return messages.stream().map(Message::text).collect(Collectors.toList());
    }

    void await(int n) throws InterruptedException {
      eventually(n + " messages", () -> messages.size() >= n);
    }
  }

  private static void online(RamenDevice d) throws InterruptedException {
    eventually("online", () -> d.state().state() == State.ONLINE);
  }

  @ParameterizedTest
  @EnumSource(Transport.class)
  void everyKindOfMessage(Transport t) throws Exception {
    byte[] binary = new byte[256];
    for (int i = 0; i < binary.length; i++) {
      binary[i] = (byte) i;
    }
    String large = '"' + String.join("", Collections.nCopies(60_000, "x")) + '"';
    for (String way : new String[] {"http", "grpc"}) {
      String user = user();
      Inbox inbox = new Inbox();
      try (RamenPublisher p = publisher(shared, way);
          RamenDevice d = at(shared, t, user).handler(inbox).start()) {
        online(d);
        List<Publication> all =
            Arrays.asList(
                json(user, "{\"text\": \"é\u2028😀\", \"n\": 12345678901234567890}"),
                json(user, "null"),
                Publication.to(user).build(),
                Publication.to(user).data(binary, "application/octet-stream").build(),
                Publication.to(user).json(large).type("large").header("k", "v").collapseKey("c").priority(Priority.LOW).ttl(Duration.ofMinutes(1)).build());
        for (Publication publication : all) {
          Result r = p.publish(publication).join();
          assertEquals(Result.Status.ACCEPTED, r.status());
          assertEquals(1, r.devices());
          assertEquals(publication.id(), r.id());
        }
        inbox.await(all.size());
        assertEquals("{\"text\":\"é\u2028😀\",\"n\":12345678901234567890}", inbox.messages.get(0).text());
        assertEquals("null", inbox.messages.get(1).text());
        assertEquals(0, inbox.messages.get(2).payloadSize());
        assertArrayEquals(binary, inbox.messages.get(3).payload());
        assertEquals("application/octet-stream", inbox.messages.get(3).contentType());
        Message low = inbox.messages.get(4);
        assertEquals(Priority.LOW, low.priority());
        assertEquals("large", low.type());
        assertEquals(Collections.singletonMap("k", "v"), low.headers());
        assertEquals("c", low.collapseKey());
        assertEquals(60_002, low.payloadSize());
        assertEquals(60_000, low.expiresMs() - low.createdMs());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Transport.class)
  void whatWasAckedAtCloseDoesNotComeAgain(Transport t) throws Exception { // C 12.5, 15: without a cursor store, acks alone tell the server
    String user = user();
    try (RamenPublisher p = publisher(shared)) {
      for (int i = 0; i < 5; i++) {
        p.publish(json(user, "" + i)).join();
      }
      try (RamenDevice d = at(shared, t, user).start()) {
        int seen = 0;
        for (Message m : d.messages()) {
          assertEquals("" + seen, m.text());
          if (++seen == 4) {
            break; // the fourth is not processed
          }
        }
      }
      Inbox inbox = new Inbox();
      try (RamenDevice d = at(shared, t, user).handler(inbox).start()) {
        p.publish(json(user, "5")).join();
        int processed = t == Transport.POLL ? 0 : 3; // of a poll's answer only the whole can be acked: SPEC 5.6.3
        inbox.await(6 - processed);
        assertEquals(Arrays.asList("0", "1", "2", "3", "4", "5").subList(processed, 6), inbox.texts());
      }
    }
  }

  /** A thousand messages of mixed priority over kill -9, restart and drain: nothing lost, nothing twice, in order within a priority. */
  @ParameterizedTest
  @EnumSource(Transport.class)
  void killedDrainedAndBack(Transport t) throws Exception {
    String user = user();
    Inbox inbox = new Inbox();
    Map<Priority, List<String>> sent = new EnumMap<>(Priority.class);
    try (Server server = own();
        RamenPublisher p = publisher(server);
        RamenDevice d = at(server, t, user).handler(inbox).start()) {
      for (int i = 0; i < 1_000; i++) {
        Priority priority = Priority.values()[i % 3];
        CompletableFuture<Result> result;
        if (i % 400 == 200) {
          server.kill();
        } else if (i == 800) {
          server.stop();
        }
        result = p.publish(Publication.to(user).json("" + i).priority(priority).build(), Duration.ofMinutes(1)); // over the crash, under one id
        if (i % 400 == 200 || i == 800) {
          server.start();
        }
        sent.computeIfAbsent(priority, q -> new ArrayList<>()).add(result.join().id());
      }
      inbox.await(1_000);
      p.publish(Publication.to(user).json("-1").priority(Priority.LOW).build()).join();
      inbox.await(1_001);
      assertEquals(1_001, inbox.messages.size());
      for (Priority priority : Priority.values()) {
        List<String> got = inbox.messages.stream().filter(m -> m.priority() == priority && !m.text().equals("-1")).map(Message::id).collect(Collectors.toList());
        assertEquals(sent.get(priority), got, priority.text());
      }
    }
  }

  @Test
  void placeOutlivesTheProcessAndTheTransport() throws Exception { // C 8, 11.4
    String user = user();
    File file = folder.resolve(user).toFile();
    Inbox inbox = new Inbox();
    List<Long> reloads = new CopyOnWriteArrayList<>();
    RamenListener listener =
        new RamenListener() {
          @Override
          public void onReload(long expired) {
            reloads.add(expired);
          }
        };
    try (RamenPublisher p = publisher(shared)) {
      for (Transport t : Transport.values()) {
        int before = inbox.messages.size();
        RamenDevice d = at(shared, t, user).handler(inbox).cursorStore(new FileCursorStore(file)).listener(listener).start();
        p.publish(json(user, "\"" + t + "\"")).join();
        inbox.await(before + 1);
        d.close();
        assertEquals(0, d.stats().get(Stats.Count.DUPLICATES));
        assertEquals(d.cursor(), new FileCursorStore(file).load());
      }
    }
    assertEquals(Transport.values().length, inbox.messages.size());
    assertEquals(Collections.emptyList(), reloads);
    Files.write(file.toPath(), "somebody else's".getBytes(StandardCharsets.UTF_8));
    assertThrows(IOException.class, () -> new FileCursorStore(file).load());
  }

  @ParameterizedTest
  @EnumSource(Transport.class)
  void newestStreamWinsAndABackendDisconnects(Transport t) throws Exception { // C 6.1, 6.2
    String user = user();
    try (RamenPublisher p = publisher(shared, "grpc");
        RamenDevice first = at(shared, t, user).start()) {
      online(first);
      try (RamenDevice second = at(shared, Transport.WS_PROTO, user).start()) {
        EndedException e = assertInstanceOf(EndedException.class, assertThrows(CompletionException.class, () -> first.ended().join()).getCause());
        assertEquals("superseded", e.reason());
        online(second);
        List<KnownDevice> known = p.devices(user).join();
        assertEquals(1, known.size());
        assertEquals("java", known.get(0).context().labels().get("client"));
        assertTrue(known.get(0).online());
        assertEquals(1, p.disconnect(user, "d", "bye").join());
        EndedException bye = assertThrows(EndedException.class, () -> second.messages().iterator().hasNext());
        assertEquals("disconnected", bye.reason());
        assertEquals("bye", bye.detail());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Transport.class)
  void handlerThatFailsGetsTheMessageAgain(Transport t) throws Exception { // C 5.3
    String user = user();
    List<String> calls = new CopyOnWriteArrayList<>();
    MessageHandler handler =
        m -> {
          calls.add(m.text());
          if (Collections.frequency(calls, "2") == 1 && m.text().equals("2")) {
            throw new IllegalStateException("not now");
          }
        };
    try (RamenPublisher p = publisher(shared);
        RamenDevice d = at(shared, t, user).handler(handler).start()) {
      for (int i = 1; i <= 3; i++) {
        p.publish(json(user, "" + i)).join();
      }
      eventually("three are handled", () -> d.stats().get(Stats.Count.HANDLED) == 3);
    }
    assertEquals(Arrays.asList("1", "2", "2", "3"), calls);
  }

  @ParameterizedTest
  @ValueSource(strings = {"http", "grpc"})
  void publisherTellsWhatBecameOfEach(String way) { // C 14.3, 14.5
    String user = user();
    try (RamenPublisher p = publisher(shared, way)) {
      List<Result> results =
          p.publishAll(
                  Arrays.asList(
                      Publication.to(user).id("a").json("1").build(),
                      Publication.to(user).id("a").json("1").build(),
                      Publication.toAll(Arrays.asList(user, user + "-b", "not a user")).json("2").build(),
                      Publication.to(user).json("4").where("nonsense", "x").build(),
                      Publication.to(user).json("5").build()))
              .join();
      List<String> statuses = results.stream().map(r -> r.status().name()).collect(Collectors.toList());
      assertEquals(Arrays.asList("ACCEPTED", "DUPLICATE", "ACCEPTED", "ACCEPTED", "REJECTED", "REJECTED", "ACCEPTED"), statuses);
      Throwable e = assertThrows(CompletionException.class, () -> p.publish(Publication.to(user).where("nonsense", "x").build()).join()).getCause();
      assertEquals("invalid_argument", assertInstanceOf(PublishException.class, e).code());
      assertEquals(Arrays.asList("1", "2", "5"), p.messages(user).join().stream().map(Message::text).collect(Collectors.toList()));
      assertTrue(p.recall(user, "a").join());
      assertFalse(p.recall(user, "a").join());
      assertEquals(2, p.messages(user).join().size());
      assertEquals(0, p.disconnect(user, "", "").join());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"http", "grpc"})
  void whatIsPublishedAtTheSameTimeKeepsItsOrder(String way) { // C 14.4
    String user = user();
    try (RamenPublisher p = publisher(shared, way)) {
      List<CompletableFuture<Result>> out = new ArrayList<>();
      List<String> want = new ArrayList<>();
      for (int i = 0; i < 1_000; i++) {
        out.add(p.publish(json(user, "" + i)));
        want.add("" + i);
      }
      out.forEach(CompletableFuture::join);
      assertEquals(want, p.messages(user).join().stream().map(Message::text).collect(Collectors.toList()));
    }
  }

  @Test
  void timeThatRunsOutTellsTheId() throws Exception { // C 14.2, 14.6, 14.7
    String user = user();
    List<Throwable> causes = new CopyOnWriteArrayList<>();
    try (Server server = own()) {
      server.kill();
      RamenPublisher p = RamenPublisher.builder(server.backend).onRetry(causes::add).build();
      Publication publication = Publication.to(user).id("a").json("1").build();
      Throwable e = assertThrows(CompletionException.class, () -> p.publish(publication, Duration.ofMillis(500)).join()).getCause();
      assertEquals(Collections.singletonList("a"), assertInstanceOf(UnknownOutcomeException.class, e).ids());
      assertFalse(causes.isEmpty());
      server.start();
      assertEquals(Result.Status.ACCEPTED, p.publish(publication).join().status());
      assertEquals(Result.Status.DUPLICATE, p.publish(publication).join().status());
      p.close();
      assertInstanceOf(RamenException.class, assertThrows(CompletionException.class, () -> p.publish(publication).join()).getCause());
    }
  }

  @Test
  void wrongJsonIsRefusedAtOnce() { // C 13.3
    for (String bad : new String[] {"", "{", "{\"a\":1,}", "[1 2]", "01", "1.", "\"\\x\"", "nul", "{\"a\" 1}", "\"\t\"", "[]]", "\"\ud800\""}) {
      assertThrows(SettingException.class, () -> Publication.to("u").json(bad), bad);
    }
    for (String good : new String[] {"{}", " [ ] ", "-0.5e+3", "\"\\u00e9\"", "[[],{\"a\":{}},null,true,false,\"\"]", "{\"a\":[1,{\"b\":2}],\"c\":3}"}) {
      Publication.to("u").json(good);
    }
  }

  // Tokens.

  /** A server with tokens and keys. */
  private static final class Secured {
    final Path secret;
    final String key;
    final Server server;

    Secured() throws Exception {
      Path home = Files.createTempDirectory(folder, "secured");
      secret = Files.write(home.resolve("secret"), "0123456789abcdef0123456789abcdef".getBytes(StandardCharsets.US_ASCII));
      Path keys = home.resolve("keys.yaml");
      key = tool("--backend=b", "--scopes=publish,read", "--keys-file=" + keys);
      server = new Server(home, "--auth.tokens.secret-file=" + secret, "--auth.keys.file=" + keys).start();
    }

    private static String tool(String... flags) throws Exception {
      List<String> command = new ArrayList<>(Arrays.asList(Server.binary(), "token"));
      command.addAll(Arrays.asList(flags));
      Process p = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.INHERIT).start();
      String out = new String(p.getInputStream().readAllBytes(), StandardCharsets.UTF_8).trim();
      assertEquals(0, p.waitFor());
      return out.substring(Math.max(out.lastIndexOf(' '), out.lastIndexOf('\n')) + 1);
    }

    String token(String user, String ttl) throws Exception {
      return tool("--secret-file=" + secret, "--user=" + user, "--ttl=" + ttl);
    }

    RamenDevice.Builder device(Transport t) {
      return RamenDevice.builder(server.url).grpc(RamenGrpc.devices(server.grpc)).transports(t).device("d").pollWait(Duration.ofSeconds(1));
    }
  }

  /** On all transports at once, since tokens take their time. */
  @Test
  void refusedTokenIsReplacedAndOneThatExpiresIsRenewed() throws Exception { // C 9.2, 9.3
    Secured secured = new Secured();
    List<RamenDevice> devices = new ArrayList<>();
    try (Server server = secured.server;
        RamenPublisher p = RamenPublisher.builder(server.backend).key(secured.key).build()) {
      Map<Transport, Inbox> inboxes = new EnumMap<>(Transport.class);
      Map<Transport, AtomicInteger> asked = new EnumMap<>(Transport.class);
      Map<Transport, AtomicInteger> wanted = new EnumMap<>(Transport.class);
      long expires = 0;
      for (Transport t : Transport.values()) {
        String[] tokens = {"nonsense", secured.token(t.name(), "20s"), secured.token(t.name(), "1h")};
        expires = System.currentTimeMillis() + 20_000;
        AtomicInteger at = new AtomicInteger();
        AtomicInteger told = new AtomicInteger();
        asked.put(t, at);
        wanted.put(t, told);
        inboxes.put(t, new Inbox());
        RamenListener listener =
            new RamenListener() {
              @Override
              public void onTokenWanted() {
                told.incrementAndGet();
              }
            };
        devices.add(secured.device(t).token(() -> tokens[Math.min(at.getAndIncrement(), 2)]).handler(inboxes.get(t)).listener(listener).start());
      }
      for (RamenDevice d : devices) {
        online(d);
      }
      eventually("the short ones are renewed", () -> asked.values().stream().allMatch(n -> n.get() >= 3));
      long end = expires + 2_000;
      eventually("the short ones have ended", () -> System.currentTimeMillis() > end);
      for (Transport t : Transport.values()) {
        p.publish(json(t.name(), "1")).join();
        inboxes.get(t).await(1);
        assertEquals(1, wanted.get(t).get(), t + " was told once");
        assertEquals(t == Transport.SSE ? 2 : 1, devices.get(t.ordinal()).stats().get(Stats.Count.STREAMS), t + ": streams");
      }
    } finally {
      devices.forEach(RamenDevice::close);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"http", "grpc"})
  void wrongKeyIsToldAtOnce(String way) throws Exception { // C 14.2
    Secured secured = new Secured();
    try (Server server = secured.server;
        RamenPublisher p =
            way.equals("grpc")
                ? RamenPublisher.builder(RamenGrpc.backends(server.backendGrpc, "nonsense")).build()
                : RamenPublisher.builder(server.backend).key("nonsense").build()) {
      Throwable e = assertThrows(CompletionException.class, () -> p.publish(json("u", "1")).join()).getCause();
      assertEquals("unauthenticated", assertInstanceOf(PublishException.class, e).code());
    }
  }

  // A proxy.

  @Test
  void proxyThatBlocksWebSockets() throws Exception { // C 11.2 to 11.4
    String user = user();
    Inbox inbox = new Inbox();
    try (Proxy proxy = new Proxy(shared.devicesPort);
        RamenPublisher p = publisher(shared);
        RamenDevice d =
            RamenDevice.builder("http://127.0.0.1:" + proxy.port()).user(user).device("d").handler(inbox).preferAfter(Duration.ofSeconds(1)).start()) {
      online(d);
      assertEquals(Transport.SSE, d.state().transport());
      p.publish(json(user, "1")).join();
      inbox.await(1);
      proxy.blocking = false;
      eventually("the preferred transport is back", () -> d.state().transport() == Transport.WS_PROTO);
      p.publish(json(user, "2")).join();
      inbox.await(2);
    }
    assertEquals(Arrays.asList("1", "2"), inbox.texts());
  }

  /** 200 kbit/s: a thousand messages of mixed priority, nothing lost, nothing twice, in order within a priority. */
  @ParameterizedTest
  @EnumSource(names = {"WS_PROTO", "SSE", "POLL"})
  void thousandMessagesOverASlowLink(Transport t) throws Exception { // C 4.3, 5.1, 5.2
    String user = user();
    Inbox inbox = new Inbox();
    Map<Priority, List<String>> sent = new EnumMap<>(Priority.class);
    try (Proxy proxy = new Proxy(shared.devicesPort);
        RamenPublisher p = publisher(shared)) {
      proxy.blocking = false;
      proxy.bytesPerSecond = 25_000;
      List<Publication> all = new ArrayList<>();
      for (int i = 0; i < 1_000; i++) {
        Priority priority = Priority.values()[i % 3];
        Publication publication = Publication.to(user).json("" + i).priority(priority).build();
        all.add(publication);
        sent.computeIfAbsent(priority, q -> new ArrayList<>()).add(publication.id());
      }
      p.publishAll(all).join();
      try (RamenDevice d = RamenDevice.builder("http://127.0.0.1:" + proxy.port()).transports(t).user(user).device("d").handler(inbox).start()) {
        inbox.await(1_000);
        assertEquals(1, d.stats().get(Stats.Count.STREAMS));
      }
    }
    assertEquals(1_000, inbox.messages.size());
    for (Priority priority : Priority.values()) {
      assertEquals(sent.get(priority), inbox.messages.stream().filter(m -> m.priority() == priority).map(Message::id).collect(Collectors.toList()));
    }
  }

  // TLS.

  @ParameterizedTest
  @EnumSource(names = {"WS_PROTO", "SSE", "POLL"})
  void overTls(Transport t) throws Exception { // C 4.3: HTTP/2 for SSE and long-poll
    Path home = Files.createTempDirectory(folder, "tls");
    Path store = home.resolve("store.p12");
    String[] keytool = {"-genkeypair", "-alias", "a", "-keyalg", "EC", "-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1", "-storetype", "PKCS12"};
    List<String> command = new ArrayList<>(Arrays.asList(System.getProperty("java.home") + "/bin/keytool"));
    command.addAll(Arrays.asList(keytool));
    command.addAll(Arrays.asList("-keystore", store.toString(), "-storepass", "secret"));
    assertEquals(0, new ProcessBuilder(command).inheritIO().start().waitFor());
    KeyStore keys = KeyStore.getInstance("PKCS12");
    try (InputStream in = Files.newInputStream(store)) {
      keys.load(in, "secret".toCharArray());
    }
    pem(home.resolve("cert.pem"), "CERTIFICATE", keys.getCertificate("a").getEncoded());
    pem(home.resolve("key.pem"), "PRIVATE KEY", keys.getKey("a", "secret".toCharArray()).getEncoded());
    KeyStore trusted = KeyStore.getInstance("PKCS12");
    trusted.load(null, null);
    trusted.setCertificateEntry("a", keys.getCertificate("a"));
    TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
    trust.init(trusted);
    SSLContext ssl = SSLContext.getInstance("TLS");
    ssl.init(null, trust.getTrustManagers(), null);
    OkHttpClient client = new OkHttpClient.Builder().sslSocketFactory(ssl.getSocketFactory(), (X509TrustManager) trust.getTrustManagers()[0]).build();
    String user = user();
    Inbox inbox = new Inbox();
    try (Server server = new Server(home, "--dev", "--tls.devices.cert-file=" + home.resolve("cert.pem"), "--tls.devices.key-file=" + home.resolve("key.pem")).start();
        RamenPublisher p = publisher(server);
        RamenDevice d = RamenDevice.builder(server.url.replace("http:", "https:")).transports(t).okHttp(client).user(user).device("d").handler(inbox).start()) {
      online(d);
      p.publish(json(user, "1")).join();
      inbox.await(1);
      assertEquals(1, d.stats().get(Stats.Count.STREAMS));
    }
  }

  private static void pem(Path file, String what, byte[] der) throws IOException {
    String text = "-----BEGIN " + what + "-----\n" + Base64.getMimeEncoder().encodeToString(der) + "\n-----END " + what + "-----\n";
    Files.write(file, text.getBytes(StandardCharsets.US_ASCII));
  }
}
