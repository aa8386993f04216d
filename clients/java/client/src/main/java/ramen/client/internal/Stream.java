package ramen.client.internal;

import java.util.logging.Level;
import ramen.client.DeviceContext;
import ramen.client.Stats.Count;
import ramen.client.Transport;
import ramen.client.wire.Conn;
import ramen.client.wire.Cursors;
import ramen.client.wire.End;
import ramen.client.wire.Frame;
import ramen.client.wire.Opening;

/**
 * One live connection of the device, from its opening to its end. It tells the keeper of hello, of a wish to be replaced, and of its end, which is the last
 * that it tells.
 *
 * <pre>
 *   opening --hello--> live --its successor's hello--> leaving --> ended
 * </pre>
 */
final class Stream implements Conn.Events {
  /** How long the last ack and the end of a stream may take. C 12.5 */
  private static final long FLUSH_MS = 2_000;

  static final End STOPPED = End.of(End.By.STOP, "the device let go of the stream");

  final Transport transport;
  final boolean trial; // of the preferred transport, beside a live stream
  final Counters counters;
  final int window;
  int waiting; // in the inbox
  int waitingBytes;
  boolean gavePlace;
  long liveSince = -1; // in ms of the loop; -1: there was no hello
  boolean away; // it is to be replaced
  boolean succeeded; // an opening of its successor was begun, and may have reached the server
  boolean dead; // its pushes no longer count
  DeviceContext context;
  long heartbeatMs; // as asked for

  private final Keeper keeper;
  private final Loop loop;
  private final Acker acker;
  private final Watchdog dog;
  private String token = "";
  private Conn conn;
  private boolean over;
  private boolean failing;
  private volatile boolean greeted; // before hello no byte buys time. C 3.3
  private long nextSeq; // that a push must have; 0: any
  private Loop.Timer renewal;

  Stream(Keeper keeper, Transport transport, boolean trial) {
    this.keeper = keeper;
    this.loop = keeper.loop;
    this.transport = transport;
    this.trial = trial;
    this.counters = keeper.counters;
    this.window = keeper.settings.window > 0 ? Math.min(keeper.settings.window, transport.window()) : transport.window();
    this.context = keeper.context();
    this.acker = new Acker(this, loop, keeper.draw);
    this.dog = new Watchdog(loop, this::silent);
  }

  /** Begins to open it. */
  void open() {
    keeper.tokens.next(this::dial);
  }

  private void dial(String token, End failure) {
    if (over) {
      return;
    }
    if (failure != null) {
      letGo(failure);
      return;
    }
    this.token = token;
    dog.allow(keeper.settings.connectTimeoutMs);
    Opening opening = keeper.opening(token);
    context = opening.context;
    heartbeatMs = opening.heartbeatMs;
    gavePlace = !opening.cursor.isEmpty();
    conn = keeper.dialer(transport).dial(opening, this);
  }

  // What the connection tells, in any thread.

  @Override
  public void alive() {
    if (greeted || transport == Transport.POLL) { // a poll's answer is its hello, and may be long
      dog.alive();
    }
  }

  @Override
  public void frame(Frame frame) {
    loop.execute(() -> take(frame));
  }

  @Override
  public void ended(End end) {
    loop.execute(() -> letGo(end));
  }

  // What others ask of it.

  /** Ends the stream, without waiting for the server. The first cause counts. */
  void letGo(End end) {
    dead = true;
    if (over) {
      return;
    }
    over = true;
    dog.stop();
    acker.stop();
    if (renewal != null) {
      renewal.cancel();
    }
    if (conn != null) {
      conn.close();
    }
    loop.execute(() -> keeper.ended(this, end));
  }

  /** Its successor lives: it is read until the server ends it, and what waits comes again on the successor. C 5.7 */
  void leave() {
    dead = true;
  }

  /** The handler failed: nothing behind is acked, what was processed before is, then the stream is let go of. C 5.3 */
  void fail(String detail) {
    dead = true; // so that nothing behind is handled
    if (!failing) {
      failing = true;
      flush(() -> letGo(End.of(End.By.DEVICE, detail)));
    }
  }

  /** Acks what was processed. It takes 2 s at most. */
  private void flush(Runnable done) {
    Once once = new Once(done);
    acker.last(once);
  }

  /** Acks what was processed and ends the stream in order. It takes 2 s at most. C 12.5 */
  void finish(Runnable done) {
    Once once = new Once(done);
    acker.last(
        () -> {
          if (conn == null || over) {
            once.run();
          } else {
            conn.finish(() -> loop.execute(once));
          }
        });
  }

  /** Runs something once: when it is asked to, or after 2 s. */
  private final class Once implements Runnable {
    private Runnable task;
    private final Loop.Timer limit;

    Once(Runnable task) {
      this.task = task;
      this.limit = loop.schedule(FLUSH_MS, this);
    }

    @Override
    public void run() {
      Runnable run = task;
      task = null;
      limit.cancel();
      if (run != null) {
        run.run();
      }
    }
  }

  /** No ack and no farewell any more: as if the process were killed. */
  void abandon() {
    acker.stop();
    if (conn != null) {
      conn.abandon();
    }
    letGo(STOPPED);
  }

  void processed(Frame.Push push) {
    acker.processed(push);
  }

  /** Hands on the token, and the context where that has changed. */
  void refresh(boolean context) {
    acker.refresh(context);
  }

  String token() {
    return token;
  }

  /** The one that an end of the server's is about: a newer one may not have reached it yet. */
  String tokenInUse() {
    return conn != null ? conn.token() : token;
  }

  void hurry() {
    dog.hurry();
  }

  boolean seesBytes() {
    return conn != null && conn.seesBytes();
  }

  DeviceContext latestContext() {
    return keeper.context();
  }

  /** What is new cannot be handed over on this stream. */
  void wantsSuccessor() {
    keeper.successor(this);
  }

  // Frames, in the loop.

  private void silent() {
    letGo(End.of(End.By.SILENCE, liveSince < 0 ? "no hello in time" : "silent for too long"));
  }

  private void take(Frame frame) {
    if (over) {
      return;
    }
    if (frame instanceof Frame.Push) {
      push((Frame.Push) frame);
    } else if (frame instanceof Frame.Heartbeat) {
      counters.add(Count.HEARTBEATS);
      conn.echo(((Frame.Heartbeat) frame).timeMs); // C 4.7
    } else if (frame instanceof Frame.Hello) {
      hello((Frame.Hello) frame);
    } else {
      goaway((Frame.GoAway) frame);
    }
  }

  /** The first frame; a poll says it again where there is something new in it. */
  private void hello(Frame.Hello hello) {
    if (transport != Transport.POLL) {
      nextSeq = hello.seq + 1;
    }
    if (liveSince < 0) {
      liveSince = loop.now();
      greeted = true;
      long silence = Watchdog.silenceOf(hello.timeoutMs, heartbeatMs);
      dog.allow(seesBytes() ? silence : keeper.patience(silence));
      if (transport == Transport.POLL) {
        dog.stop(); // each poll is bounded by itself
      }
      acker.start(conn, hello.ackMs);
      renewLater();
    }
    keeper.hello(this, hello);
    if (Cursors.valid(hello.cursor) && !dead) {
      keeper.inbox.put(this, hello);
    }
  }

  private void push(Frame.Push push) {
    if (liveSince < 0) {
      letGo(End.of(End.By.NETWORK, "the server did not begin with hello")); // C 3.4
      return;
    }
    counters.add(Count.PUSHES);
    counters.add(Count.REDELIVERED, push.message.redelivered() ? 1 : 0);
    if (nextSeq > 0) {
      if (push.message.seq() != nextSeq) { // C 4.2
        counters.add(Count.GAPS);
        letGo(End.of(End.By.DEVICE, "a push is missing: got seq " + push.message.seq() + ", expected " + nextSeq));
        return;
      }
      nextSeq++;
    }
    keeper.trust();
    if (!dead && !keeper.inbox.put(this, push)) { // C 4.8
      letGo(End.of(End.By.DEVICE, "the server pushed more than the window"));
    }
  }

  /** A drain or rebalance is a wish to be replaced; any other ends the stream, as does one before hello. SPEC 2.12.6 */
  private void goaway(Frame.GoAway g) {
    counters.add(Count.GOAWAYS);
    if (End.moving(g.reason) && liveSince >= 0 && transport != Transport.POLL) {
      keeper.goaway(this, End.said(g.reason, "", 0, g.reconnectMs).withinMs);
      return;
    }
    letGo(End.said(g.reason, g.detail, g.retryMs, g.reconnectMs));
  }

  // The token's renewal. C 9.2

  private void renewLater() {
    long end = Tokens.expiry(token);
    if (!keeper.tokens.hasSource() || end == 0) {
      return;
    }
    long left = end - System.currentTimeMillis();
    long lead = Tokens.lead(left);
    renewal = loop.schedule(Math.max(0, left - lead), () -> renew(end, lead));
  }

  /** Asks for a new token shortly before the stream's ends, and again until there is one, and hands it on. */
  private void renew(long end, long lead) {
    if (over || System.currentTimeMillis() > end) {
      return; // from then on the server ends the stream
    }
    keeper.tokens.next(
        (fresh, failure) -> {
          if (over) {
            return;
          }
          if (failure != null || fresh.isEmpty() || fresh.equals(token)) {
            Listeners.LOG.log(Level.FINE, "no new token yet");
            renewal = loop.schedule(Math.max(lead / 4, 250), () -> renew(end, lead));
            return;
          }
          token = fresh;
          acker.refresh(false);
          renewLater();
        });
  }
}
