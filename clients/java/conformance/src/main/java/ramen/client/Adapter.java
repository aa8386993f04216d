package ramen.client;

import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import ramen.client.grpc.RamenGrpc;
import ramen.client.wire.JsonFrames;
import ramen.client.wire.JsonObject;

/** The adapter of the suite for clients: clients/conformance/README.md. It translates and decides nothing. */
final class Adapter implements RamenListener {
  private static final PrintStream OUT = new PrintStream(new FileOutputStream(FileDescriptor.out), false, StandardCharsets.UTF_8);
  private static final Map<String, CursorStore> STORES = new ConcurrentHashMap<>();
  private final String name;
  private final JsonObject handlers;
  private final Map<String, Long> failures = new HashMap<>();
  private final boolean throwing;
  private final List<String> tokens;
  private final CountDownLatch over = new CountDownLatch(1);
  private volatile int at;
  private volatile boolean muted;
  private RamenDevice device;

  private Adapter(String name, JsonObject s) throws Exception {
    this.name = name;
    this.handlers = s.object("handler");
    this.throwing = s.bool("listener_throws");
    this.tokens = s.strings("tokens");
    RamenDevice.Builder b = s.has("url") ? RamenDevice.builder(s.string("url")) : RamenDevice.builder();
    b.handler(this::handle).listener(this).transports(s.strings("transports").stream().map(Transport::of).toArray(Transport[]::new));
    if (s.has("grpc")) b.grpc(RamenGrpc.devices(s.string("grpc")));
    if (s.has("user")) b.user(s.string("user"));
    if (s.has("device")) b.device(s.string("device"));
    if (s.has("tokens")) b.token(this::token);
    if (s.has("store")) b.cursorStore(STORES.computeIfAbsent(s.string("store"), store -> store.startsWith("broken:") ? new Broken(store.substring(7)) : new MemoryCursorStore()));
    if (s.has("window")) b.window((int) s.number("window"));
    if (s.has("heartbeat_ms")) b.heartbeat(Duration.ofMillis(s.number("heartbeat_ms")));
    if (s.has("connect_timeout_ms")) b.connectTimeout(Duration.ofMillis(s.number("connect_timeout_ms")));
    if (s.has("fallback_after")) b.fallbackAfter((int) s.number("fallback_after"));
    if (s.has("prefer_after_ms")) b.preferAfter(Duration.ofMillis(s.number("prefer_after_ms")));
    if (s.has("context")) {
      DeviceContext.Builder c = DeviceContext.builder();
      for (String field : new String[] {"app", "app_version", "os", "os_version", "model", "locale"}) c.field(field, s.object("context").string(field));
      s.object("context").texts("labels").forEach(c::label);
      b.context(c.build());
    }
    device = b.start();
  }

  private static final class Broken implements CursorStore {
    private final String how;
    Broken(String how) {
      this.how = how;
    }

    @Override public String load() throws Exception {
      if (how.equals("load")) throw new IOException("load failed");
      if (how.equals("never")) new CountDownLatch(1).await();
      return null;
    }

    @Override public void save(String cursor) throws Exception {
      if (how.equals("save")) throw new IOException("save failed");
      load();
    }
  }

  private String token() throws IOException {
    String token = tokens.get(Math.min(at, tokens.size() - 1));
    if (token.isEmpty()) throw new IOException("no token");
    return token;
  }

  private void handle(Message m) throws Exception {
    tell("message", "id", m.id(), "payload", m.text());
    JsonObject todo = handlers == null ? null : handlers.object(m.id());
    if (todo == null) return;
    Thread.sleep(todo.number("slow_ms"));
    if (todo.bool("never")) {
      over.await();
      throw new IOException("the client was closed");
    }
    if (todo.bool("close")) device.close();
    if (failures.merge(m.id(), 1L, Long::sum) <= todo.number("fail")) throw new IOException("the handler fails");
  }

  @Override public void onState(StateChange c) {
    tell("state", "state", c.state().text(), "transport", c.transport() == null ? "" : c.transport().toString(), "delay_ms", c.delayMs(), "cause", c.cause());
    if (throwing) throw new IllegalStateException("the listener throws");
  }

  @Override public void onHello(Hello h) {
    tell("hello", "resumed", h.resumed(), "expired", h.expired(), "stream", h.stream(), "transport", h.transport().toString());
  }

  @Override public void onReload(long expired) { tell("reload"); }

  @Override public void onError(String of, Throwable error) { tell("error", "of", of); }

  @Override public void onClosed(String reason, String detail) { tell("closed", "reason", reason); }

  @Override public void onTokenWanted() { tell("token", "at", at++); }

  private void tell(String event, Object... fields) { if (!muted) write(name, event, fields); }

  private static synchronized void write(String client, String event, Object... fields) {
    StringBuilder line = new StringBuilder("{\"client\":\"" + client + "\",\"event\":\"" + event + '"');
    for (int i = 0; i < fields.length; i += 2) {
      line.append(",\"").append(fields[i]).append("\":");
      if (fields[i + 1] instanceof String) JsonFrames.quote(line, (String) fields[i + 1]);
      else line.append(fields[i + 1]);
    }
    OUT.println(line.append('}'));
  }

  private void command(String what, JsonObject c) throws Exception {
    if (what.equals("close") || what.equals("crash")) over.countDown();
    if (what.equals("close")) device.stop();
    if (what.equals("reconnect")) device.reconnect();
    if (what.equals("network")) device.network(!c.has("online") || c.bool("online"), c.bool("changed"));
    if (what.equals("refresh")) at++;
    if (muted = what.equals("crash")) device.crash();
  }

  public static void main(String[] args) throws Exception {
    OUT.println("{\"adapter\":\"java\",\"version\":\"" + Version.VERSION + "\",\"transports\":[\"ws-json\",\"ws-proto\",\"sse\",\"poll\",\"grpc\"],\"can\":[\"network\"]}");
    Map<String, Adapter> clients = new HashMap<>();
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line; (line = in.readLine()) != null; ) {
      JsonObject c = JsonObject.of(line);
      String name = c.string("client");
      try {
        if (c.string("do").equals("start")) clients.put(name, new Adapter(name, c));
        else clients.get(name).command(c.string("do"), c);
      } catch (SettingException e) {
        write(name, "refused", "message", e.getMessage());
      }
    }
  }
}
