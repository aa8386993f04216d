package ramen.client;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import okhttp3.HttpUrl;
import okhttp3.OkHttpClient;
import ramen.client.internal.Checks;
import ramen.client.internal.Consumer;
import ramen.client.internal.Counters;
import ramen.client.internal.Draw;
import ramen.client.internal.HandlerConsumer;
import ramen.client.internal.Listeners;
import ramen.client.internal.Loop;
import ramen.client.internal.Pull;
import ramen.client.internal.Run;
import ramen.client.internal.Seen;
import ramen.client.internal.SerialLoop;
import ramen.client.internal.Settings;
import ramen.client.internal.Workers;
import ramen.client.wire.Conn;
import ramen.client.wire.Http;
import ramen.client.wire.PollConn;
import ramen.client.wire.SseConn;
import ramen.client.wire.WsConn;

/**
 * Holds a stream to the server, and opens it again whenever it ends, until it is closed.
 *
 * <p>As a loop, in which a message counts as processed when the loop asks for the next one:
 *
 * <pre>{@code
 * try (RamenDevice device = RamenDevice.builder("http://127.0.0.1:8080").user("alice").device("phone").start()) {
 *   for (Message message : device.messages()) {
 *     System.out.println(message.text());
 *   }
 * }
 * }</pre>
 *
 * <p>Or with a handler; a message is processed once it returns:
 *
 * <pre>{@code
 * RamenDevice device = RamenDevice.builder(url).device("phone").token(tokens::fetch).handler(inbox::take).start();
 * }</pre>
 *
 * <p>Messages come at least once, in the order of priority and then of acceptance. The device drops what it has processed before, by the last 2,048 ids.
 * Methods may be called from any thread, and return at once, but for {@link #close()} and the loop.
 */
public final class RamenDevice implements AutoCloseable {
  private final Settings settings;
  private final TokenSource tokens;
  private final CursorStore cursors;
  private final Platform platform;
  private final Consumer consumer;
  private final Pull pull; // null: there is a handler
  private final Listeners listeners;
  private final Counters counters = new Counters();
  private final Seen seen = new Seen();
  private final Loop loop;
  private final Draw draw;
  private Run run; // guarded by this; null: never started
  private DeviceContext context; // guarded by this

  private RamenDevice(Builder b) {
    this.settings = b.settings();
    this.tokens = b.tokens;
    this.cursors = b.cursors;
    this.platform = b.platform;
    this.pull = b.handler == null && b.asyncHandler == null ? new Pull() : null;
    this.consumer = pull != null ? pull : new HandlerConsumer(b.handler, b.asyncHandler, b.closeTimeoutMs);
    this.listeners = new Listeners(b.listener);
    this.loop = b.loop != null ? b.loop : new SerialLoop();
    this.draw = b.draw;
    this.context = settings.context;
  }

  /** A device of the server at the url of the devices' HTTP port, such as https://push.example.com. */
  public static Builder builder(String url) {
    return new Builder().url(url);
  }

  /** A device without an url: over gRPC alone. */
  public static Builder builder() {
    return new Builder();
  }

  // Its life.

  /** Begins, in threads of its own. A device that has ended may be started again. */
  public synchronized RamenDevice start() {
    if (run != null && !run.ended().isDone()) {
      throw new IllegalStateException("the device is running already");
    }
    settings.context = context;
    String cursor = run == null ? "" : run.cursor();
    Run begun = new Run(loop, settings, tokens, cursors, cursor, consumer, seen, counters, listeners, draw);
    run = begun;
    if (pull != null) {
      pull.begin();
    }
    begun.ended().whenComplete((nothing, error) -> over(error));
    if (platform != null) {
      platform.attach(new PlatformEvents(begun));
    }
    begun.start();
    return this;
  }

  private void over(Throwable error) {
    if (platform != null) {
      platform.detach();
    }
    if (pull != null) {
      pull.end((RuntimeException) error);
    }
  }

  private static final class PlatformEvents implements Platform.Events {
    private final Run run;

    PlatformEvents(Run run) {
      this.run = run;
    }

    @Override
    public void network(boolean online, boolean changed) {
      run.network(online, changed);
    }

    @Override
    public void saving(boolean saving) {
      run.saving(saving);
    }
  }

  private synchronized Run run() {
    return run;
  }

  /** Begins to close it, and returns at once. On Android's main thread call this, not close. */
  public void stop() {
    Run r = run();
    if (r != null) {
      r.stop();
    }
  }

  /**
   * Acks what is processed, ends the stream, and returns once the handler has. Called within the handler or a listener, it returns at once. A handler that is
   * under way has the close timeout to return, so that its message is acked; then its thread is interrupted, and it is waited for however long it takes. All
   * else takes some 6 s at most, where nothing answers. C 12.5, 12.6
   */
  @Override
  public void close() {
    Run r = run();
    if (r == null) {
      return;
    }
    r.stop();
    if (loop.inside() || consumer.inside()) {
      return;
    }
    try {
      r.ended().join();
    } catch (CompletionException e) {
      // the server ended it before: whoever waits for ended() is told
    }
  }

  /** Completes when the device has ended: with {@link EndedException} where the server wished so (C 6.2). Never, before it was started. */
  public CompletableFuture<Void> ended() {
    Run r = run();
    CompletableFuture<Void> copy = new CompletableFuture<>(); // the app may complete it as it likes
    if (r != null) {
      r.ended()
          .whenComplete(
              (nothing, error) -> {
                if (error == null) {
                  copy.complete(null);
                } else {
                  copy.completeExceptionally(error);
                }
              });
    }
    return copy;
  }

  /**
   * The messages, for one loop at a time, until the device is closed; each is processed when the loop asks for the next one, so that a loop that breaks off
   * leaves its last message unprocessed: it comes again. The loop throws {@link EndedException} where the server ended the device, and {@link RamenException}
   * where its thread was interrupted.
   */
  public Iterable<Message> messages() {
    if (pull == null) {
      throw new IllegalStateException("the device has a handler: messages go there");
    }
    if (run() == null) {
      throw new IllegalStateException("the device is not started");
    }
    return pull::iterator;
  }

  // What an app may ask for while it runs.

  /** Opens at once where a pause is under way: the user asked for it, say. C 7.6 */
  public void reconnect() {
    Run r = run();
    if (r != null) {
      r.reconnect();
    }
  }

  /** What the platform says of the network: whether there is one, and that it is another than before. A hint. C 10 */
  public void network(boolean online, boolean changed) {
    Run r = run();
    if (r != null) {
      r.network(online, changed);
    }
  }

  /** Whether to save the battery: see {@link Builder#heartbeatWhenSaving}. The stream is replaced once that has lasted 30 s. */
  public void saving(boolean saving) {
    Run r = run();
    if (r != null) {
      r.saving(saving);
    }
  }

  /** Replaces what the device says of itself: on the open stream, with the next poll, or (SSE) by a next stream. */
  public void context(DeviceContext context) {
    DeviceContext own = Builder.ownLabels(context);
    Run r;
    synchronized (this) {
      this.context = own;
      r = run;
    }
    if (r != null) {
      r.context(own);
    }
  }

  public StateChange state() {
    return listeners.current();
  }

  public Stats stats() {
    return counters.stats();
  }

  /** The place: of the last push processed, or of a hello before one. Empty: none yet. */
  public String cursor() {
    Run r = run();
    return r == null ? "" : r.cursor();
  }

  /** Drops everything without a word to the server, as a process that is killed does. For tests. */
  void crash() {
    run().crash();
  }

  /** Sets up a device. Wrong settings are refused with {@link SettingException}, at the latest by build. */
  public static final class Builder {
    private HttpUrl url;
    private Conn.Dialer grpc;
    private String user = "";
    private String device = "";
    private TokenSource tokens;
    private MessageHandler handler;
    private AsyncMessageHandler asyncHandler;
    private RamenListener listener = new RamenListener() {};
    private CursorStore cursors;
    private DeviceContext context = DeviceContext.EMPTY;
    private List<Transport> transports = Collections.emptyList();
    private int window;
    private long heartbeatMs;
    private long heartbeatWhenSavingMs = 60_000;
    private int pollWaitS = 25;
    private long connectTimeoutMs = 10_000;
    private int fallbackAfter = 2;
    private long preferAfterMs = 300_000;
    private long closeTimeoutMs = 5_000;
    private final Map<String, String> headers = new LinkedHashMap<>();
    private OkHttpClient client;
    private Platform platform;
    private Loop loop; // tests have their own
    private Draw draw = Draw.EVEN;
    private final Map<Transport, Conn.Dialer> fakes = new LinkedHashMap<>(); // of tests

    private Builder() {}

    private Builder url(String url) {
      this.url = Checks.url("url", url);
      return this;
    }

    /** Opens streams over gRPC, first of all: {@code RamenGrpc.devices("push.example.com:8081")} of the artifact ramen-client-grpc. */
    public Builder grpc(Conn.Dialer grpc) {
      this.grpc = Objects.requireNonNull(grpc);
      return this;
    }

    /** Whom messages are for, while authentication is off; else the token names it. */
    public Builder user(String user) {
      Checks.name("user", user);
      this.user = user;
      return this;
    }

    /** An id of this installation, which it keeps for as long as it lives. */
    public Builder device(String device) {
      Checks.name("device", device);
      this.device = device;
      return this;
    }

    /** Where the device's token comes from. */
    public Builder token(TokenSource tokens) {
      this.tokens = Objects.requireNonNull(tokens);
      return this;
    }

    /** Processes messages. Without a handler they are for the loop over {@link RamenDevice#messages()}. */
    public Builder handler(MessageHandler handler) {
      this.handler = Objects.requireNonNull(handler);
      this.asyncHandler = null;
      return this;
    }

    /** Processes messages without a thread that waits. */
    public Builder asyncHandler(AsyncMessageHandler handler) {
      this.asyncHandler = Objects.requireNonNull(handler);
      this.handler = null;
      return this;
    }

    public Builder listener(RamenListener listener) {
      this.listener = Objects.requireNonNull(listener);
      return this;
    }

    /** Where the place is kept across restarts. Without it, what is not acked comes again after a restart. */
    public Builder cursorStore(CursorStore cursors) {
      this.cursors = Objects.requireNonNull(cursors);
      return this;
    }

    /** What the device says of itself; {@link RamenDevice#context} changes it. */
    public Builder context(DeviceContext context) {
      this.context = ownLabels(context);
      return this;
    }

    /** In the order of preference; by default gRPC where it is given, then WebSocket, SSE and long-poll. C 11 */
    public Builder transports(Transport... transports) {
      this.transports = new ArrayList<>(new LinkedHashSet<>(Arrays.asList(transports)));
      return this;
    }

    /** The most pushes unacked at once; 0: the transport's most. */
    public Builder window(int pushes) {
      this.window = (int) Checks.number("window", pushes, 0, Integer.MAX_VALUE, "use 1 push or more, or 0 for the transport's most");
      return this;
    }

    /** The interval of heartbeats, 1 s to 60 s; zero: the server's. A dead path is found within 7/4 of it. */
    public Builder heartbeat(Duration interval) {
      this.heartbeatMs = heartbeatMs("heartbeat", interval);
      return this;
    }

    /** The interval while the battery is to be saved, 60 s by default; zero: the same as else. See {@link Platform}. */
    public Builder heartbeatWhenSaving(Duration interval) {
      this.heartbeatWhenSavingMs = heartbeatMs("heartbeatWhenSaving", interval);
      return this;
    }

    private static long heartbeatMs(String setting, Duration interval) {
      long ms = interval.toMillis();
      return ms == 0 ? 0 : Checks.number(setting, ms, 1_000, 60_000, "use 1 s to 60 s, or zero");
    }

    /** How long a long-poll waits, 1 s to 60 s. */
    public Builder pollWait(Duration wait) {
      this.pollWaitS = (int) Checks.number("pollWait", wait.getSeconds(), 1, 60, "use 1 s to 60 s");
      return this;
    }

    /** From an opening to hello. C 3.3 */
    public Builder connectTimeout(Duration timeout) {
      this.connectTimeoutMs = Checks.number("connectTimeout", timeout.toMillis(), 1, 3_600_000, "use 1 ms to 1 h");
      return this;
    }

    /** So many failures in a row make the next transport's turn. C 11.2 */
    public Builder fallbackAfter(int attempts) {
      this.fallbackAfter = (int) Checks.number("fallbackAfter", attempts, 1, Integer.MAX_VALUE, "use 1 attempt or more");
      return this;
    }

    /** When the first transport is tried again; negative: never. C 11.3 */
    public Builder preferAfter(Duration after) {
      this.preferAfterMs = after.toMillis();
      return this;
    }

    /** How long the last ack waits for a handler that is under way when the device is closed; then the handler's thread is interrupted. 5 s by default. */
    public Builder closeTimeout(Duration timeout) {
      this.closeTimeoutMs = Checks.number("closeTimeout", timeout.toMillis(), 0, 3_600_000, "use 0 s to 1 h");
      return this;
    }

    /** Sent with every HTTP request. */
    public Builder header(String name, String value) {
      headers.put(Objects.requireNonNull(name), Objects.requireNonNull(value));
      return this;
    }

    /**
     * The client whose certificates, DNS, proxy, sockets and interceptors are used. Its time-outs, cookies, cache, redirects and pool are not: streams have
     * their own.
     */
    public Builder okHttp(OkHttpClient client) {
      this.client = Objects.requireNonNull(client);
      return this;
    }

    /** Tells the device of the network and of the battery. */
    public Builder platform(Platform platform) {
      this.platform = Objects.requireNonNull(platform);
      return this;
    }

    Builder loop(Loop loop, Draw draw) {
      this.loop = loop;
      this.draw = draw;
      return this;
    }

    Builder fake(Transport transport, Conn.Dialer dialer) {
      fakes.put(transport, dialer);
      return this;
    }

    public RamenDevice build() {
      return new RamenDevice(this);
    }

    /** build and {@link RamenDevice#start()}. */
    public RamenDevice start() {
      return build().start();
    }

    private Settings settings() {
      if (url == null && grpc == null) {
        throw new SettingException("url", null, "give url, such as https://push.example.com, or grpc");
      }
      if (tokens == null && user.isEmpty()) {
        throw new SettingException("user", user, "give a user, or a token that names one");
      }
      if (tokens == null && device.isEmpty()) {
        throw new SettingException("device", device, "give an id of this installation that it keeps");
      }
      Settings s = new Settings();
      s.user = user;
      s.device = device;
      s.context = ownLabels(context);
      s.transports = chosen();
      s.window = window;
      s.heartbeatMs = heartbeatMs;
      s.heartbeatWhenSavingMs = heartbeatWhenSavingMs;
      s.connectTimeoutMs = connectTimeoutMs;
      s.fallbackAfter = fallbackAfter;
      s.preferAfterMs = preferAfterMs;
      dialers(s);
      return s;
    }

    private List<Transport> chosen() {
      List<Transport> all = new ArrayList<>(transports);
      if (all.isEmpty()) {
        if (grpc != null) {
          all.add(Transport.GRPC);
        }
        if (url != null) {
          all.addAll(Arrays.asList(Transport.WS_PROTO, Transport.SSE, Transport.POLL));
        }
      }
      for (Transport t : all) {
        if (t == Transport.GRPC ? grpc == null : url == null) {
          throw new SettingException("transports", t, t == Transport.GRPC ? "it needs grpc" : "it needs url");
        }
      }
      return all;
    }

    private void dialers(Settings s) {
      if (grpc != null) {
        s.dialers.put(Transport.GRPC, loop -> grpc);
      }
      if (url != null) {
        Http http = new Http(client, url, headers, Workers.POOL);
        int wait = pollWaitS;
        s.dialers.put(Transport.WS_PROTO, loop -> (opening, events) -> new WsConn(http, opening, true, loop, events));
        s.dialers.put(Transport.WS_JSON, loop -> (opening, events) -> new WsConn(http, opening, false, loop, events));
        s.dialers.put(Transport.SSE, loop -> (opening, events) -> new SseConn(http, opening, events));
        s.dialers.put(Transport.POLL, loop -> (opening, events) -> new PollConn(http, opening, wait, loop, events));
      }
      fakes.forEach((transport, dialer) -> s.dialers.put(transport, loop -> dialer));
    }

    /** Adds who the client is, as far as the limits leave room. C 13.4 */
    private static DeviceContext ownLabels(DeviceContext context) {
      if (!context.fits()) {
        throw new SettingException("context", context, "use at most " + DeviceContext.MAX_BYTES + " bytes and " + DeviceContext.MAX_LABELS + " labels");
      }
      DeviceContext.Builder b = context.toBuilder();
      if (!context.labels().containsKey("client")) {
        b.label("client", "java");
      }
      if (!context.labels().containsKey("client_version")) {
        b.label("client_version", Version.VERSION);
      }
      DeviceContext own = b.build();
      return own.fits() ? own : context;
    }
  }
}
