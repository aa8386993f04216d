package ramen.client.internal;

import java.util.Iterator;
import java.util.NoSuchElementException;
import ramen.client.Message;
import ramen.client.RamenException;

/** A loop over messages as a consumer: a message is processed when the loop asks for the next one. One loop at a time. C 15 */
public final class Pull implements Consumer {
  private Message offered; // guarded by this, as all
  private Done done;
  private boolean ended;
  private RuntimeException end; // null: the app closed the device

  @Override
  public synchronized void begin(Message message, Done done) {
    offered = message;
    this.done = done;
    notifyAll();
  }

  /** A loop that asks for no more leaves its last message unprocessed. */
  @Override
  public boolean interrupt() {
    Done left;
    synchronized (this) {
      left = done;
      done = null;
      offered = null;
    }
    if (left != null) {
      left.done(new RamenException("the device was closed"));
    }
    return true; // where there was none left, the loop asks for the next message at this moment
  }

  @Override
  public long graceMs() {
    return 0;
  }

  @Override
  public boolean inside() {
    return false;
  }

  /** The device begins anew. */
  public synchronized void begin() {
    ended = false;
    end = null;
  }

  /** The device has ended. */
  public synchronized void end(RuntimeException cause) {
    ended = true;
    end = cause;
    offered = null;
    done = null;
    notifyAll();
  }

  /** The messages, until the device has ended. */
  public Iterator<Message> iterator() {
    return new Loop();
  }

  private final class Loop implements Iterator<Message> {
    private Message next;
    private Message last;

    @Override
    public boolean hasNext() {
      if (next == null) {
        next = await(last);
        last = null;
      }
      return next != null;
    }

    @Override
    public Message next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      last = next;
      next = null;
      return last;
    }
  }

  /** The next message; last, which the loop had before, is processed. null: the app closed the device. */
  private Message await(Message last) {
    Done processed = null;
    synchronized (this) {
      if (last != null && last == offered) {
        processed = done;
        done = null;
        offered = null;
      }
    }
    if (processed != null) {
      processed.done(null);
    }
    synchronized (this) {
      while (offered == null && !ended) {
        try {
          wait();
        } catch (InterruptedException e) {
          Thread.currentThread().interrupt();
          throw new RamenException("the loop over messages was interrupted", e);
        }
      }
      if (ended && end != null) {
        throw end;
      }
      return ended ? null : offered;
    }
  }
}
