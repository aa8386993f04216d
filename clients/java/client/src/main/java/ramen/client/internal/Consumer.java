package ramen.client.internal;

import ramen.client.Message;

/** Where messages go, one at a time: a handler, or a loop over messages. */
public interface Consumer {
  /** Begins to process a message, and returns at once. done is called once, in any thread, with null or why it is not processed. */
  void begin(Message message, Done done);

  /** The device closes: the message under way is to end soon. Whether it does so whatever the app does, so that done is called at once. */
  boolean interrupt();

  /** How long a message under way may take when the device closes, in ms. */
  long graceMs();

  /** Whether the caller runs within the handler. */
  boolean inside();

  /** Told once. */
  interface Done {
    void done(Throwable error);
  }
}
