package ramen.client.publish;

import ramen.client.RamenException;

/** The server refused a publish or another call. */
public final class PublishException extends RamenException {
  private static final long serialVersionUID = 1;
  private final String code;
  private final long retryAfterMs;

  public PublishException(String code, String message, long retryAfterMs) {
    super(message.isEmpty() ? code : code + ": " + message);
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }

  /** One of SPEC 4.4: invalid_argument, unavailable, ... */
  public String code() {
    return code;
  }

  /** When to try again at the earliest, in ms; 0: the server did not say. */
  public long retryAfterMs() {
    return retryAfterMs;
  }

  /** Whether it is for now alone. SPEC 9.1.5 */
  boolean again() {
    return code.equals("unavailable") || code.equals("resource_exhausted") || code.equals("internal");
  }
}
