package ramen.client;

/** The server ended the device for good. Starting it again is the app's decision. C 6.2 */
public final class EndedException extends RamenException {
  private static final long serialVersionUID = 1;
  private final String reason;
  private final String detail;

  public EndedException(String reason, String detail) {
    super(detail.isEmpty() ? reason : reason + ": " + detail);
    this.reason = reason;
    this.detail = detail;
  }

  /** superseded, disconnected, unauthenticated, permission_denied or invalid_argument. */
  public String reason() {
    return reason;
  }

  /** The server's words. */
  public String detail() {
    return detail;
  }
}
