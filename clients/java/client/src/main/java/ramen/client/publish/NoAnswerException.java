package ramen.client.publish;

import ramen.client.RamenException;

/** What became of a request is unknown. SPEC 9.1.3 */
public final class NoAnswerException extends RamenException {
  private static final long serialVersionUID = 1;

  public NoAnswerException(String message) {
    super(message);
  }
}
