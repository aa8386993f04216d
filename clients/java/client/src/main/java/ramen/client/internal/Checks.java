package ramen.client.internal;

import java.nio.charset.StandardCharsets;
import java.util.Locale;
import okhttp3.HttpUrl;
import ramen.client.SettingException;

/** Checks settings where they are given. C 13.3 */
public final class Checks {
  private static final int MOST_NAME = 128;

  private Checks() {}

  /** SPEC 1.1.1, 10.6.2. Throws SettingException. */
  public static void name(String setting, String text) {
    boolean good = text != null && !text.isEmpty() && text.getBytes(StandardCharsets.UTF_8).length <= MOST_NAME;
    if (!good || !text.codePoints().allMatch(Checks::printable)) {
      throw new SettingException(setting, text, "use 1 to 128 bytes of printable characters without spaces");
    }
  }

  /** What a later Unicode has assigned is left to the server. */
  private static boolean printable(int c) {
    switch (Character.getType(c)) {
      case Character.CONTROL:
      case Character.FORMAT:
      case Character.SURROGATE:
      case Character.PRIVATE_USE:
      case Character.LINE_SEPARATOR:
      case Character.PARAGRAPH_SEPARATOR:
      case Character.SPACE_SEPARATOR:
        return false;
      default:
        return true;
    }
  }

  /** A server's address. */
  public static HttpUrl url(String setting, String text) {
    HttpUrl url = text == null ? null : HttpUrl.parse(text);
    boolean bare = url != null && url.query() == null && url.fragment() == null && url.username().isEmpty();
    if (!bare || !text.toLowerCase(Locale.ROOT).startsWith("http")) {
      throw new SettingException(setting, text, "use http://host:port or https://host:port");
    }
    return url;
  }

  /** A whole number. */
  public static long number(String setting, long given, long least, long most, String right) {
    if (given < least || given > most) {
      throw new SettingException(setting, given, right);
    }
    return given;
  }
}
