package ramen.client.internal;

import java.util.ArrayDeque;
import ramen.client.wire.Frame;

/**
 * What was read and is not processed yet: at most a window of each stream, since the server sends no more. At the bound the stream ends, and what was in it
 * comes again on the next. Nobody waits to put something in, so that heartbeats are read and answered while the handler is busy. C 4.8, 5.7
 */
final class Inbox {
  /** A push, or the hello whose cursor is where the stream's pushes begin. */
  static final class Item {
    final Stream stream;
    final Frame frame;

    Item(Stream stream, Frame frame) {
      this.stream = stream;
      this.frame = frame;
    }
  }

  private final ArrayDeque<Item> items = new ArrayDeque<>();
  private Runnable onItem = () -> {};

  /** Who is called when something came. */
  void onItem(Runnable onItem) {
    this.onItem = onItem;
  }

  /** False where the server has pushed more than the window. */
  boolean put(Stream stream, Frame.Push push) {
    int size = push.message.payloadSize();
    // Twice the bytes: what the server counts need not be what is counted here.
    if (stream.waiting > 0 && (stream.waiting >= stream.window || stream.waitingBytes + size > 2L * stream.transport.windowBytes())) {
      return false;
    }
    stream.waiting++;
    stream.waitingBytes += size;
    items.add(new Item(stream, push));
    onItem.run();
    return true;
  }

  void put(Stream stream, Frame.Hello hello) {
    items.add(new Item(stream, hello));
    onItem.run();
  }

  /** The next item of a stream that still counts; null: there is none. What came on others comes again on their successors. */
  Item poll() {
    for (Item item; (item = items.poll()) != null; ) {
      if (item.frame instanceof Frame.Push) {
        item.stream.waiting--;
        item.stream.waitingBytes -= ((Frame.Push) item.frame).message.payloadSize();
      }
      if (!item.stream.dead) {
        return item;
      }
    }
    return null;
  }
}
