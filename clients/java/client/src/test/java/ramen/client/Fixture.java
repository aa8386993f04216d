package ramen.client;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.function.Consumer;
import ramen.client.wire.Conn;
import ramen.client.wire.End;
import ramen.client.wire.Frame;
import ramen.client.wire.Opening;

/** A device in virtual time, and a server of which the test plays the part, frame by frame. Draws answer the whole of each bound. */
final class Fixture implements RamenListener {
  final VirtualLoop loop = new VirtualLoop();
  final List<FakeConn> conns = new ArrayList<>();
  final Deque<Consumer<FakeConn>> answers = new ArrayDeque<>(); // to the openings to come; none: nothing is said
  final List<StateChange> states = new ArrayList<>();
  final List<String> told = new ArrayList<>();
  final List<String> handled = new ArrayList<>();
  final List<Long> bounds = new ArrayList<>();
  final Deque<CompletableFuture<Void>> handling = new ArrayDeque<>(); // of the messages to come; none: processed at once
  RamenDevice device;

  /** Not started yet. */
  Fixture(Transport... transports) {
    this(b -> {}, transports);
  }

  Fixture(Consumer<RamenDevice.Builder> settings, Transport... transports) {
    RamenDevice.Builder b = RamenDevice.builder("http://127.0.0.1:1").grpc((opening, events) -> null).user("u").device("d").listener(this);
    b.transports(transports).asyncHandler(this::handle).loop(loop, bound -> {
      bounds.add(bound);
      return bound;
    });
    settings.accept(b);
    for (Transport t : Transport.values()) {
      b.fake(t, (opening, events) -> dial(t, opening, events));
    }
    device = b.build();
  }

  /** Starts it and answers the first opening with hello. */
  FakeConn online() {
    answers.add(c -> c.hello(0));
    device.start();
    loop.pass(0);
    return conns.get(conns.size() - 1);
  }

  FakeConn last() {
    return conns.get(conns.size() - 1);
  }

  String state() {
    return device.state().state().text();
  }

  private Conn dial(Transport transport, Opening opening, Conn.Events events) {
    FakeConn conn = new FakeConn(transport, opening, events, loop.now());
    conns.add(conn);
    Consumer<FakeConn> answer = answers.poll();
    if (answer != null) {
      loop.execute(() -> answer.accept(conn));
    }
    return conn;
  }

  private CompletionStage<Void> handle(Message m) {
    handled.add(m.id());
    CompletableFuture<Void> done = handling.poll();
    return done != null ? done : CompletableFuture.completedFuture(null);
  }

  static CompletableFuture<Void> failed() {
    CompletableFuture<Void> f = new CompletableFuture<>();
    f.completeExceptionally(new IllegalStateException("not now"));
    return f;
  }

  @Override
  public void onState(StateChange change) {
    states.add(change);
    told.add(change.state().text());
  }

  @Override
  public void onHello(Hello hello) {
    told.add("hello");
  }

  @Override
  public void onReload(long expired) {
    told.add("reload " + expired);
  }

  @Override
  public void onTokenWanted() {
    told.add("token");
  }

  @Override
  public void onError(String of, Throwable error) {
    told.add("error " + of);
  }

  @Override
  public void onClosed(String reason, String detail) {
    told.add("closed " + reason);
  }

  /** One stream, as the server sees it. */
  static final class FakeConn implements Conn {
    final Transport transport;
    final Opening opening;
    final long at;
    final List<Long> acks = new ArrayList<>();
    final List<Long> echoes = new ArrayList<>();
    final List<String> refreshes = new ArrayList<>();
    boolean finished;
    boolean closed;
    boolean answersAcks = true;
    boolean seesBytes = true;
    Acked waiting;
    End ackFailure;
    boolean ackRefused;
    private final Events events;
    private String token;

    FakeConn(Transport transport, Opening opening, Events events, long at) {
      this.transport = transport;
      this.opening = opening;
      this.events = events;
      this.at = at;
      this.token = opening.token;
      this.seesBytes = transport != Transport.GRPC;
    }

    FakeConn hello(long seq) {
      return hello(seq, true, 0);
    }

    FakeConn hello(long seq, boolean resumed, long expired) {
      Frame.Hello h = new Frame.Hello();
      h.resumed = resumed;
      h.stream = "s";
      h.seq = seq;
      h.heartbeatMs = 4000;
      h.timeoutMs = 7000;
      h.ackMs = transport == Transport.SSE ? 30_000 : 100;
      h.expired = expired;
      h.cursor = "k" + seq;
      return say(h);
    }

    FakeConn push(long... seqs) {
      for (long seq : seqs) {
        say(new Frame.Push(Message.builder("m" + seq).seq(seq).build(), "k" + seq));
      }
      return this;
    }

    FakeConn goaway(String reason, long reconnectMs) {
      Frame.GoAway g = new Frame.GoAway();
      g.reason = reason;
      g.reconnectMs = reconnectMs;
      return say(g);
    }

    FakeConn say(Frame frame) {
      events.alive();
      events.frame(frame);
      return this;
    }

    FakeConn heartbeat() {
      return say(new Frame.Heartbeat(7));
    }

    /** Bytes of a frame that is not complete. */
    void trickle() {
      events.alive();
    }

    void cut() {
      end(End.cut("cut", true));
    }

    void end(End end) {
      events.ended(end);
    }

    @Override
    public String token() {
      return token;
    }

    @Override
    public boolean seesBytes() {
      return seesBytes;
    }

    @Override
    public void ack(long seq, String cursor, Acked done) {
      acks.add(seq);
      if (answersAcks) {
        done.acked(ackFailure, ackRefused);
      } else {
        waiting = done;
      }
    }

    @Override
    public void echo(long timeMs) {
      echoes.add(timeMs);
    }

    @Override
    public boolean refresh(String token, DeviceContext context) {
      refreshes.add(token + " " + (context == null ? "" : context.fields()));
      return transport != Transport.SSE;
    }

    @Override
    public void finish(Runnable done) {
      finished = true;
      done.run();
    }

    @Override
    public void close() {
      closed = true;
    }

    @Override
    public void abandon() {
      closed = true;
    }
  }

  List<Transport> opened() {
    List<Transport> all = new ArrayList<>();
    conns.forEach(c -> all.add(c.transport));
    return all;
  }

  static List<Long> longs(Long... all) {
    return Arrays.asList(all);
  }
}
