package ramen.client;

/** The server's first word on a stream, as the app is told it. C 13.1 */
public final class Hello {
  private final boolean resumed;
  private final long expired;
  private final String stream;
  private final Transport transport;
  private final long timeMs;

  public Hello(boolean resumed, long expired, String stream, Transport transport, long timeMs) {
    this.resumed = resumed;
    this.expired = expired;
    this.stream = stream;
    this.transport = transport;
    this.timeMs = timeMs;
  }

  /** Whether the stream goes on from where the device stood. */
  public boolean resumed() {
    return resumed;
  }

  /** How many messages expired unseen since the last hello. SPEC 2.2.8 */
  public long expired() {
    return expired;
  }

  /** The server's name of the stream, for logs. */
  public String stream() {
    return stream;
  }

  public Transport transport() {
    return transport;
  }

  /** The server's clock, in ms since 1970; 0 over long-poll. */
  public long timeMs() {
    return timeMs;
  }

  @Override
  public String toString() {
    return "Hello{resumed=" + resumed + ", expired=" + expired + ", stream=" + stream + ", transport=" + transport + "}";
  }
}
