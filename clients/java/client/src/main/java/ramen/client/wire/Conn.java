package ramen.client.wire;

import ramen.client.DeviceContext;

/** One stream of a device, whatever the transport. Methods are called in the device's loop, return at once, and do nothing once the stream is over. */
public interface Conn {
  /** The token that the server goes by. */
  String token();

  /** Whether bytes of incomplete frames are seen, too. C 4.3 */
  boolean seesBytes();

  /**
   * Every push up to this one has been processed. Over SSE it is a request; over poll it is what the next poll begins with. done is called once, in any
   * thread.
   */
  void ack(long seq, String cursor, Acked done);

  /** Answers a heartbeat. Over one-way transports it does nothing. */
  void echo(long timeMs);

  /** Hands over a new token and context (null: unchanged). False over SSE: only a new stream takes them to the server. */
  boolean refresh(String token, DeviceContext context);

  /** Ends the stream in order: what was written before arrives. done is called once it is over, in any thread. */
  void finish(Runnable done);

  /** Ends the stream at once, without waiting for the server. No event is told afterwards that matters. */
  void close();

  /** Ends the stream as if the process were killed, as far as that can be. */
  void abandon();

  /** What became of an ack. */
  @FunctionalInterface
  interface Acked {
    /** failure: null where it was sent, or answered well. placeRefused: the server does not know the place that the ack names (C 12.2). */
    void acked(End failure, boolean placeRefused);
  }

  /** Where a transport tells what comes. All may be called from any thread; frames in their order. */
  interface Events {
    /** Bytes of the stream came in, complete frames or not. */
    void alive();

    void frame(Frame frame);

    /** The stream is over, or was never opened. The first call counts. */
    void ended(End end);
  }

  /** Opens streams over one transport. */
  @FunctionalInterface
  interface Dialer {
    /** Begins to open a stream, and returns at once. */
    Conn dial(Opening opening, Events events);
  }
}
