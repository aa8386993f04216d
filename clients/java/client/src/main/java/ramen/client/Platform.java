package ramen.client;

/**
 * What tells a device of the network and of the battery: android-sample/ has one for Android. A device attaches to it when it starts and detaches when it
 * has stopped. C 10
 */
public interface Platform {
  /** Begins to tell. Called once before detach. */
  void attach(Events events);

  /** Tells no more. */
  void detach();

  /** Where it is told. All may be called from any thread. */
  interface Events {
    /** Whether there is a network, and that it is another than before. A hint. */
    void network(boolean online, boolean changed);

    /** Whether to save the battery: the next stream asks for the heartbeat of that state; see {@code RamenDevice.Builder.heartbeatWhenSaving}. */
    void saving(boolean saving);
  }
}
