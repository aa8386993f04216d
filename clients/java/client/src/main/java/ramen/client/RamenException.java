package ramen.client;

/** The base of this library's exceptions. */
public class RamenException extends RuntimeException {
  private static final long serialVersionUID = 1;

  public RamenException(String message) {
    super(message);
  }

  public RamenException(String message, Throwable cause) {
    super(message, cause);
  }
}
