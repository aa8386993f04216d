package ramen.client.internal;

import java.util.concurrent.CancellationException;
import ramen.client.Stats.Count;
import ramen.client.wire.Frame;

/**
 * Processes pushes one after the other. It alone moves the place and tells streams what to ack, so neither covers a message that was not processed. C 5
 */
final class Handling {
  private final Loop loop;
  private final Consumer consumer;
  private final Inbox inbox;
  private final Place place;
  private final Seen seen;
  private final Counters counters;
  private final Listeners listeners;
  private boolean busy;
  private boolean pumping;
  private boolean started;
  private boolean stopping;
  private boolean cancelled; // the handler was interrupted: its failure is no news
  private Runnable onStopped; // told when the handler has returned, or its grace is over
  private Runnable onReturned; // told when it has returned after that

  Handling(Loop loop, Consumer consumer, Inbox inbox, Place place, Seen seen, Counters counters, Listeners listeners) {
    this.loop = loop;
    this.consumer = consumer;
    this.inbox = inbox;
    this.place = place;
    this.seen = seen;
    this.counters = counters;
    this.listeners = listeners;
  }

  void start() {
    started = true;
    inbox.onItem(this::pumpSoon);
    pumpSoon();
  }

  /** From a call of its own, so that one that is under way is over: the first message comes after hello was told (C 5.8). */
  private void pumpSoon() {
    if (!pumping && !busy) {
      pumping = true;
      loop.execute(this::pump);
    }
  }

  /** Processes what there is, up to the next message that the handler has to see. */
  private void pump() {
    pumping = false;
    while (started && !busy && !stopping) {
      Inbox.Item item = inbox.poll();
      if (item == null) {
        place.idle(); // C 8.2
        return;
      }
      if (item.frame instanceof Frame.Hello) {
        place.begin((Frame.Hello) item.frame);
      } else {
        process(item.stream, (Frame.Push) item.frame);
      }
    }
  }

  private void process(Stream stream, Frame.Push push) {
    if (seen.contains(push.message.id())) {
      counters.add(Count.DUPLICATES);
      processed(stream, push);
      return;
    }
    busy = true;
    consumer.begin(push.message, error -> loop.execute(() -> returned(stream, push, error)));
  }

  private void returned(Stream stream, Frame.Push push, Throwable error) {
    busy = false;
    if (error == null) {
      counters.add(Count.HANDLED);
      seen.add(push.message.id());
      processed(stream, push);
    } else if (!cancelled && !(stopping && error instanceof CancellationException)) { // what was given up because the device closes has not failed
      counters.add(Count.HANDLER_ERRORS);
      stream.fail("the handler did not process a message");
      listeners.error("handler", error);
    }
    if (onStopped != null) {
      stopped();
    } else if (onReturned != null) {
      onReturned.run();
    } else {
      pump();
    }
  }

  private void processed(Stream stream, Frame.Push push) {
    place.moved(push.cursor);
    stream.processed(push);
  }

  private void stopped() {
    Runnable done = onStopped;
    onStopped = null;
    if (done != null) {
      done.run();
    }
  }

  /** Begins no further message. The handler has its grace to return, then it is interrupted, and done does not wait for it. C 12.6 */
  void stop(Runnable done) {
    stopping = true;
    onStopped = done;
    if (!busy) {
      stopped();
    } else if (consumer.graceMs() == 0) {
      interrupt();
    } else {
      loop.schedule(consumer.graceMs(), this::interrupt);
    }
  }

  private void interrupt() {
    if (onStopped == null) {
      return;
    }
    cancelled = true;
    if (!consumer.interrupt()) {
      stopped();
    }
  }

  /** After stop: tells when the handler has returned, however long that takes. False where it has. What it processed has moved the place. */
  boolean awaitReturn(Runnable done) {
    onReturned = done;
    return busy;
  }

  /** No call of the handler's counts any more. */
  void abandon() {
    stopping = true;
    cancelled = true;
    consumer.interrupt();
  }
}
