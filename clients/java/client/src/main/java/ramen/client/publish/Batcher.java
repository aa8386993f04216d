package ramen.client.publish;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletionException;
import ramen.client.RamenException;
import ramen.client.internal.Loop;

/**
 * Requests out of what is published at the same time: what comes while requests are out goes together, so that a busy publisher makes large requests and an
 * idle one no pauses. No unit is sent while an earlier one has a user of it, so the messages to one user keep their order. It runs in the loop. C 14.4
 */
final class Batcher {
  /** Bytes of messages in one request; the server takes 4 MiB. SPEC 7.3.3 */
  static final int MOST_REQUEST = 3 << 20;

  /** What one caller sends at once: it goes into one request whole, so that its order is kept. */
  static final class Unit {
    final List<byte[]> encoded = new ArrayList<>();
    final Set<String> users = new HashSet<>();
    int count; // the results that it gets
    int size; // in bytes
    boolean given; // up: its caller waits no longer
    Done done;
  }

  /** What became of a unit. */
  interface Done {
    /** error: null where there are answers. */
    void done(List<Backend.Answer> answers, Throwable error);
  }

  private final Loop loop;
  private final Backend backend;
  private final int maxBatch;
  private final int inFlight;
  private final long lingerMs;
  private final long timeoutMs;
  private final Set<String> users = new HashSet<>(); // of the units that are out
  private List<Unit> queue = new ArrayList<>();
  private int waiting; // messages of the queue
  private int out;
  private boolean pumping;
  private boolean closed;
  private Loop.Timer timer;

  Batcher(Loop loop, Backend backend, int maxBatch, int inFlight, long lingerMs, long timeoutMs) {
    this.loop = loop;
    this.backend = backend;
    this.maxBatch = maxBatch;
    this.inFlight = inFlight;
    this.lingerMs = lingerMs;
    this.timeoutMs = timeoutMs;
  }

  /** Sends a unit; done comes once, later. What the caller no longer waits for is not sent. */
  void submit(Unit unit) {
    if (closed) {
      unit.done.done(null, new RamenException("the publisher is closed"));
      return;
    }
    queue.add(unit);
    waiting += unit.count;
    if (lingerMs > 0 && waiting < maxBatch) {
      if (timer == null) {
        timer = loop.schedule(lingerMs, this::pump);
      }
    } else if (!pumping) { // what else was published meanwhile goes with it
      pumping = true;
      loop.execute(this::pump);
    }
  }

  private void pump() {
    pumping = false;
    if (timer != null) {
      timer.cancel();
      timer = null;
    }
    while (out < inFlight && !closed) {
      List<Unit> units = cut();
      if (units.isEmpty()) {
        return;
      }
      send(units);
    }
  }

  /** Takes a request's worth from the queue. */
  private List<Unit> cut() {
    List<Unit> units = new ArrayList<>();
    List<Unit> rest = new ArrayList<>();
    Set<String> held = new HashSet<>(); // users of units that stay
    int count = 0;
    int size = 0;
    waiting = 0;
    for (Unit unit : queue) {
      if (unit.given) {
        continue;
      }
      boolean fits = units.isEmpty() || (count + unit.count <= maxBatch && size + unit.size <= MOST_REQUEST);
      if (!fits || any(unit.users, users) || any(unit.users, held)) {
        held.addAll(unit.users);
        rest.add(unit);
        waiting += unit.count;
        continue;
      }
      units.add(unit);
      count += unit.count;
      size += unit.size;
    }
    queue = rest;
    return units;
  }

  private static boolean any(Set<String> some, Set<String> of) {
    for (String s : some) {
      if (of.contains(s)) {
        return true;
      }
    }
    return false;
  }

  private void send(List<Unit> units) {
    List<byte[]> encoded = new ArrayList<>();
    for (Unit unit : units) {
      encoded.addAll(unit.encoded);
      users.addAll(unit.users);
    }
    out++;
    backend.exchange(encoded, timeoutMs).whenComplete((answers, error) -> loop.execute(() -> answered(units, answers, error)));
  }

  private void answered(List<Unit> units, List<Backend.Answer> answers, Throwable error) {
    out--;
    int want = 0;
    for (Unit unit : units) {
      users.removeAll(unit.users);
      want += unit.count;
    }
    Throwable cause = error instanceof CompletionException ? error.getCause() : error;
    if (cause == null && answers.size() != want) {
      cause = new NoAnswerException("got " + answers.size() + " results for " + want + " messages");
    }
    int at = 0;
    for (Unit unit : units) {
      unit.done.done(cause == null ? answers.subList(at, at + unit.count) : null, cause);
      at += unit.count;
    }
    pump();
  }

  /** Ends what waits. What is out is ended by the backend. */
  void close() {
    closed = true;
    if (timer != null) {
      timer.cancel();
    }
    List<Unit> left = queue;
    queue = new ArrayList<>();
    for (Unit unit : left) {
      unit.done.done(null, new RamenException("the publisher is closed"));
    }
  }
}
