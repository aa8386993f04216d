package ramen.client.internal;

import ramen.client.Stats.Count;
import ramen.client.Transport;
import ramen.client.wire.Conn;
import ramen.client.wire.End;
import ramen.client.wire.Frame;

/**
 * A stream's acks and refreshes. Acks are cumulative: what waits is one place, whatever was processed meanwhile, and one is under way at a time. C 12, 9.2
 */
final class Acker {
  /** Bounds hello's ack_ms: SSE's. SPEC 2.9.2 */
  private static final long MOST_ACK_MS = 30_000;

  private final Stream stream;
  private final Loop loop;
  private final Backoff retry;
  private Conn conn;
  private long joinsMs; // acks that fall within it go as one
  private long seq;
  private String cursor = "";
  private int pushes; // processed and not acked
  private long bytes;
  private long first; // when the first of them was processed
  private long notBefore; // after a failure
  private boolean sending;
  private boolean stopped;
  private Runnable last; // told when nothing more can be sent
  private boolean newToken;
  private boolean newContext;
  private Loop.Timer timer;

  Acker(Stream stream, Loop loop, Draw draw) {
    this.stream = stream;
    this.loop = loop;
    this.retry = Backoff.ofOpenings(draw);
  }

  /** Called at hello. */
  void start(Conn conn, long ackMs) {
    this.conn = conn;
    joinsMs = Math.min(ackMs, MOST_ACK_MS);
    if (stream.transport == Transport.SSE) {
      joinsMs = joinsMs * 3 / 4; // ack_ms is the latest there, and the request takes its time. C 12.2
    } else if (stream.transport == Transport.POLL) {
      joinsMs = 0; // no request: it is what the next poll begins with
    }
    handOver();
  }

  void processed(Frame.Push push) {
    if (pushes == 0) {
      first = loop.now();
    }
    seq = push.message.seq();
    cursor = push.cursor;
    pushes++;
    bytes += push.message.payloadSize();
    consider();
  }

  /** Sends what there is, if it is time; else sets a timer. */
  private void consider() {
    if (stopped || sending || conn == null || pushes == 0) {
      tellLast();
      return;
    }
    long now = loop.now();
    boolean half = pushes * 2 >= stream.window || bytes * 2 >= stream.transport.windowBytes();
    long due = Math.max(half ? now : first + joinsMs, notBefore);
    if (last != null || due <= now) {
      send();
      return;
    }
    if (timer != null) {
      timer.cancel();
    }
    timer = loop.schedule(due - now, this::consider);
  }

  private void send() {
    if (cursor.isEmpty() && !stream.transport.twoWay()) { // within a poll's answer: its last push has the cursor
      pushes = 0;
      bytes = 0;
      tellLast();
      return;
    }
    int sentPushes = pushes;
    long sentBytes = bytes;
    sending = true;
    conn.ack(seq, cursor, (failure, refused) -> {
      if (loop.inside()) {
        acked(sentPushes, sentBytes, failure, refused);
      } else {
        loop.execute(() -> acked(sentPushes, sentBytes, failure, refused));
      }
    });
  }

  private void acked(int sentPushes, long sentBytes, End failure, boolean refused) {
    sending = false;
    if (failure == null) {
      pushes -= sentPushes;
      bytes -= sentBytes;
      first = loop.now();
      notBefore = 0;
      retry.reset();
      stream.counters.add(Count.ACKS);
      consider();
      return;
    }
    if (refused) { // the server does not know the place: begin anew. C 12.2
      stream.letGo(End.of(End.By.DEVICE, failure.toString()));
    } else if (failure.reason.equals("unauthenticated") || failure.reason.equals("permission_denied")) {
      stream.letGo(failure); // no refused token is sent again. C 9.3
    }
    notBefore = loop.now() + failure.retryAfterMs + retry.next();
    if (last != null) {
      stopped = true; // the last ack is not tried twice
    }
    consider();
  }

  private void tellLast() {
    Runnable done = last;
    if (done != null && !sending) {
      last = null;
      done.run();
    }
  }

  /** Sends what is not acked yet, once. */
  void last(Runnable done) {
    last = done;
    consider();
  }

  /** Hands on the stream's token, and the device's context where that has changed. */
  void refresh(boolean context) {
    newToken = true;
    newContext |= context;
    handOver();
  }

  private void handOver() {
    if (!newToken || conn == null || stopped) {
      return;
    }
    boolean context = newContext;
    newToken = false;
    newContext = false;
    if (!conn.refresh(stream.token(), context ? stream.latestContext() : null)) {
      stream.wantsSuccessor();
    }
  }

  void stop() {
    stopped = true;
    if (timer != null) {
      timer.cancel();
    }
  }
}
