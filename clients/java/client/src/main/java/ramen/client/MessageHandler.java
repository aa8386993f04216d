package ramen.client;

/** Processes messages, one at a time, in the order of pushes. C 5.1 */
@FunctionalInterface
public interface MessageHandler {
  /**
   * Processes one message. It is called in a thread of its own and may block: heartbeats are answered meanwhile, and acks of earlier messages go out.
   * When it returns, the message is processed, and acked. When it throws, the message is not: the device lets go of the stream, and the message comes
   * again on the next one, after a pause. So return normally for what can never be processed. When the device is closed while it runs, it is interrupted
   * after the close timeout.
   */
  void handle(Message message) throws Exception;
}
