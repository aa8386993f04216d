package ramen.client;

import java.util.concurrent.CompletionStage;

/** Processes messages without a thread that waits: the next message comes once the stage of the last has completed. */
@FunctionalInterface
public interface AsyncMessageHandler {
  /**
   * Begins to process one message. It must not block. The message is processed when the stage completes; where it completes with an exception, or this
   * throws, it is not, as with {@link MessageHandler}. A stage that is cancelled after the device was asked to close is not processed either, and no error.
   */
  CompletionStage<?> handle(Message message) throws Exception;
}
