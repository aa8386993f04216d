package ramen.client;

/** A state of the device, and why it came to it. */
public final class StateChange {
  private final State state;
  private final Transport transport;
  private final long delayMs;
  private final String cause;

  public StateChange(State state, Transport transport, long delayMs, String cause) {
    this.state = state;
    this.transport = transport;
    this.delayMs = delayMs;
    this.cause = cause;
  }

  public State state() {
    return state;
  }

  /** Of the stream, or of the next one; null while stopped or offline. */
  public Transport transport() {
    return transport;
  }

  /** Waiting: until the next opening, in ms. */
  public long delayMs() {
    return delayMs;
  }

  /** In words; empty where nothing went wrong. */
  public String cause() {
    return cause;
  }

  @Override
  public String toString() {
    return state.text() + (transport == null ? "" : " " + transport) + (delayMs > 0 ? " " + delayMs + " ms" : "") + (cause.isEmpty() ? "" : ": " + cause);
  }
}
