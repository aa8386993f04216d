package ramen.client.internal;

import ramen.client.CursorStore;
import ramen.client.wire.Cursors;
import ramen.client.wire.Frame;

/**
 * The device's place: the cursor, and its way into the app's store. It is moved by what the handler has processed alone, so it never covers a message that
 * was not. Saves go out one at a time: a store that never answers holds up nothing. C 8
 */
final class Place {
  private static final int SAVE_EVERY = 64; // pushes, at the latest
  private static final long SAVE_AFTER_MS = 5_000;
  private static final long LOAD_TIMEOUT_MS = 2_000;
  private static final long SAVE_TIMEOUT_MS = 5_000;
  private static final long LAST_SAVE_TIMEOUT_MS = 2_000;

  private final Loop loop;
  private final CursorStore store; // null: there is none
  private final Listeners listeners;
  private volatile String cursor;
  private String saved = "";
  private int unsaved;
  private boolean told; // of this run of failures
  private boolean saving;
  private boolean again; // something is to be saved after what is under way
  private Runnable closed; // told when the last save is done
  private Loop.Timer timer;

  Place(Loop loop, CursorStore store, Listeners listeners, String cursor) {
    this.loop = loop;
    this.store = store;
    this.listeners = listeners;
    this.cursor = cursor;
  }

  /** Read from any thread. */
  String cursor() {
    return cursor;
  }

  /** Finds where the device stood, unless the store has nothing to say. */
  void load(Runnable done) {
    if (store == null) {
      done.run();
      return;
    }
    Calls.within(
        loop,
        LOAD_TIMEOUT_MS,
        store::load,
        (found, error) -> {
          if (error != null) {
            failed(error);
          } else if (Cursors.valid(found)) { // C 8.4
            cursor = found;
            saved = found;
          }
          done.run();
        });
  }

  /** Takes over where a stream begins, if the device has no place that the server honours. C 8.1 */
  void begin(Frame.Hello hello) {
    if (cursor.isEmpty() || !hello.resumed) {
      moved(hello.cursor);
    }
  }

  /** A push was processed. Within a poll's answer only the last one has a cursor. */
  void moved(String to) {
    if (to.isEmpty()) {
      return;
    }
    cursor = to;
    if (store == null) {
      return;
    }
    unsaved++;
    if (unsaved >= SAVE_EVERY) {
      save(SAVE_TIMEOUT_MS);
    } else if (timer == null) {
      timer = loop.schedule(SAVE_AFTER_MS, () -> save(SAVE_TIMEOUT_MS));
    }
  }

  /** Nothing is left to process. */
  void idle() {
    if (unsaved > 0) {
      save(SAVE_TIMEOUT_MS);
    }
  }

  private void save(long timeoutMs) {
    if (timer != null) {
      timer.cancel();
      timer = null;
    }
    if (saving) {
      again = true;
      return;
    }
    unsaved = 0;
    again = false;
    String saved = cursor;
    if (store == null || saved.equals(this.saved)) {
      finished();
      return;
    }
    saving = true;
    Calls.within(
        loop,
        timeoutMs,
        () -> {
          store.save(saved);
          return null;
        },
        (nothing, error) -> {
          saving = false;
          if (error != null) {
            failed(error);
          } else {
            this.saved = saved;
            told = false;
          }
          if (again) {
            save(SAVE_TIMEOUT_MS);
          } else {
            finished();
          }
        });
  }

  private void finished() {
    Runnable done = closed;
    closed = null;
    if (done != null) {
      done.run();
    }
  }

  /** The app is told once for each run of failures. C 8.3 */
  private void failed(Throwable error) {
    if (!told) {
      told = true;
      listeners.error("store", error);
    }
  }

  /** Saves what is not saved yet, within 2 s. */
  void close(Runnable done) {
    Loop.Timer limit = loop.schedule(LAST_SAVE_TIMEOUT_MS, this::finished);
    closed =
        () -> {
          limit.cancel();
          done.run();
        };
    save(LAST_SAVE_TIMEOUT_MS);
  }

  /** Nothing is saved any more: the device is dropped. */
  void abandon() {
    if (timer != null) {
      timer.cancel();
    }
  }
}
