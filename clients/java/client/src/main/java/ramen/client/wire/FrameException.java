package ramen.client.wire;

/** Bytes that are no frame of the contract. */
public final class FrameException extends Exception {
  private static final long serialVersionUID = 1;

  public FrameException(String message) {
    super(message);
  }
}
