package ramen.client.wire;

/** What a cursor looks like. SPEC 1.1.9 */
public final class Cursors {
  private static final int MOST = 128;

  private Cursors() {}

  /** Whether text is a cursor; null is none. */
  public static boolean valid(String text) {
    if (text == null || text.isEmpty() || text.length() > MOST) {
      return false;
    }
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      boolean letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
      if (!letter && c != '.' && c != '_' && c != '-') {
        return false;
      }
    }
    return true;
  }
}
