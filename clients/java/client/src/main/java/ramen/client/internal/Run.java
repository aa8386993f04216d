package ramen.client.internal;

import java.util.concurrent.CompletableFuture;
import ramen.client.CursorStore;
import ramen.client.DeviceContext;
import ramen.client.EndedException;
import ramen.client.State;
import ramen.client.StateChange;
import ramen.client.TokenSource;
import ramen.client.wire.End;

/** One life of a device, from its start to its end. */
public final class Run {
  private final Loop loop;
  private final Listeners listeners;
  private final Handling handling;
  private final Keeper keeper;
  private final Place place;
  private final CompletableFuture<Void> ended = new CompletableFuture<>();
  private boolean stopping;
  private boolean crashed;

  public Run(
      Loop loop,
      Settings settings,
      TokenSource tokenSource,
      CursorStore store,
      String cursor,
      Consumer consumer,
      Seen seen,
      Counters counters,
      Listeners listeners,
      Draw draw) {
    this.loop = loop;
    this.listeners = listeners;
    this.place = new Place(loop, store, listeners, cursor);
    Inbox inbox = new Inbox();
    this.handling = new Handling(loop, consumer, inbox, place, seen, counters, listeners);
    Tokens tokens = new Tokens(tokenSource, loop, settings.connectTimeoutMs);
    this.keeper = new Keeper(loop, settings, tokens, place, inbox, counters, listeners, draw, this::shut);
  }

  /** Completes when the device has ended: with EndedException where the server wished so. */
  public CompletableFuture<Void> ended() {
    return ended;
  }

  /** The place, from any thread. */
  public String cursor() {
    return place.cursor();
  }

  // The rest may be called from any thread, and returns at once.

  public void start() {
    loop.execute(
        () ->
            place.load(
                () -> {
                  if (!stopping) {
                    handling.start();
                    keeper.begin();
                  }
                }));
  }

  public void stop() {
    loop.execute(() -> shut(null));
  }

  public void reconnect() {
    loop.execute(keeper::reconnect);
  }

  public void network(boolean online, boolean changed) {
    loop.execute(() -> keeper.network(online, changed));
  }

  public void saving(boolean saving) {
    loop.execute(() -> keeper.saving(saving));
  }

  public void context(DeviceContext context) {
    loop.execute(() -> keeper.setContext(context));
  }

  /** Drops everything without a word to the server, as a process that is killed does. */
  public void crash() {
    loop.execute(
        () -> {
          crashed = true;
          stopping = true;
          handling.abandon();
          keeper.streams().forEach(Stream::abandon);
          keeper.close();
          place.abandon();
          ended.complete(null);
        });
  }

  /** The last steps: the handler, the last ack, the streams, the place. end: null where the app closes the device. C 12.5, 12.6 */
  private void shut(End end) {
    if (stopping) {
      return;
    }
    stopping = true;
    keeper.stopOpening();
    handling.stop(() -> finish(() -> place.close(() -> awaitHandler(end))));
  }

  /** Nothing but the last state waits for a handler that has outlived its grace. C 12.6 */
  private void awaitHandler(End end) {
    if (!handling.awaitReturn(() -> place.close(() -> stopped(end)))) {
      stopped(end);
    }
  }

  private void finish(Runnable done) {
    Runnable close =
        () -> {
          keeper.close();
          done.run();
        };
    if (keeper.live() == null) {
      close.run();
    } else {
      keeper.live().finish(close);
    }
  }

  private void stopped(End end) {
    if (crashed) {
      return;
    }
    listeners.state(new StateChange(State.STOPPED, null, 0, end == null ? "" : end.toString()));
    listeners.closed(end == null ? "closed" : end.reason, end == null ? "" : end.detail);
    if (end == null) {
      ended.complete(null);
    } else {
      ended.completeExceptionally(new EndedException(end.reason, end.detail));
    }
  }
}
