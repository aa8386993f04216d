package ramen.client.wire;

/**
 * Where the values of a JSON text begin and end. A payload has to be handed on byte by byte, nested 10,000 deep if need be (SPEC 10.4.6), so frames are cut
 * into members here, without recursion, and only members other than payloads are read.
 */
public final class JsonText {
  private JsonText() {}

  /** The place of the first character from at on that is no white space. */
  static int space(String text, int at) {
    while (at < text.length()) {
      char c = text.charAt(at);
      if (c != ' ' && c != '\n' && c != '\t' && c != '\r') {
        break;
      }
      at++;
    }
    return at;
  }

  /** Where the value that begins at at ends. Of an object or array only strings and brackets are looked at. */
  static int end(String text, int at) throws FrameException {
    if (at >= text.length()) {
      throw new FrameException("JSON is cut off at " + at);
    }
    char head = text.charAt(at);
    if (head == '"') {
      return stringEnd(text, at);
    }
    if (head == '{' || head == '[') {
      return containerEnd(text, at);
    }
    int to = at;
    while (to < text.length() && " \n\t\r,]}[{\":".indexOf(text.charAt(to)) < 0) {
      to++;
    }
    if (to == at) {
      throw new FrameException("no JSON value at " + at);
    }
    return to;
  }

  private static int stringEnd(String text, int at) throws FrameException {
    for (int i = at + 1; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c == '"') {
        return i + 1;
      }
      if (c == '\\') {
        i++;
      } else if (c < ' ') {
        break;
      }
    }
    throw new FrameException("JSON string without an end at " + at);
  }

  private static int containerEnd(String text, int at) throws FrameException {
    java.util.BitSet objects = new java.util.BitSet(); // by depth: whether it is an object
    int depth = 0;
    for (int i = at; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c == '"') {
        i = stringEnd(text, i) - 1;
      } else if (c == '{' || c == '[') {
        objects.set(depth++, c == '{');
      } else if (c == '}' || c == ']') {
        depth--;
        if (objects.get(depth) != (c == '}')) {
          throw new FrameException("JSON has a " + c + " too many at " + i);
        }
        if (depth == 0) {
          return i + 1;
        }
      }
    }
    throw new FrameException("JSON is cut off");
  }

  /** The text of the string that begins at at. */
  static String string(String text, int at, int end) throws FrameException {
    int escape = text.indexOf('\\', at);
    if (escape < 0 || escape >= end) {
      return text.substring(at + 1, end - 1);
    }
    StringBuilder out = new StringBuilder(end - at);
    for (int i = at + 1; i < end - 1; i++) {
      char c = text.charAt(i);
      if (c != '\\') {
        out.append(c);
        continue;
      }
      char e = text.charAt(++i);
      if (e == 'u') {
        out.append(unicode(text, i + 1, end - 1));
        i += 4;
      } else {
        int known = "\"\\/bfnrt".indexOf(e);
        if (known < 0) {
          throw new FrameException("JSON string with an escape that is none at " + i);
        }
        out.append("\"\\/\b\f\n\r\t".charAt(known));
      }
    }
    return out.toString();
  }

  private static char unicode(String text, int at, int end) throws FrameException {
    int c = 0;
    for (int i = at; i < at + 4; i++) {
      int digit = i < end ? Character.digit(text.charAt(i), 16) : -1;
      if (digit < 0 || text.charAt(i) > 'f') {
        throw new FrameException("JSON string with an escape that is none at " + at);
      }
      c = c << 4 | digit;
    }
    return (char) c;
  }

  /** Appends text as a JSON string. */
  static void quote(StringBuilder out, String text) {
    out.append('"');
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      int known = "\"\\\b\f\n\r\t".indexOf(c);
      if (known >= 0) {
        out.append('\\').append("\"\\bfnrt".charAt(known));
      } else if (c < ' ') {
        out.append("\\u00").append(Character.forDigit(c >> 4, 16)).append(Character.forDigit(c & 15, 16));
      } else {
        out.append(c);
      }
    }
    out.append('"');
  }
}
