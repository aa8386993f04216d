package ramen.client.publish;

import java.util.BitSet;
import ramen.client.SettingException;

/** Whether a text is one JSON value (RFC 8259): one that is none would spoil the request that it goes in. Without recursion, however deep it is. */
final class JsonCheck {
  private final String text;
  private int at;

  private JsonCheck(String text) {
    this.text = text;
  }

  /** Throws SettingException. */
  static void check(String text) {
    if (!new JsonCheck(text).valid()) {
      String begin = text.length() > 32 ? text.substring(0, 32) + "..." : text;
      throw new SettingException("payload", begin, "it is no JSON; give another content type, if it is meant so");
    }
  }

  private boolean valid() {
    BitSet objects = new BitSet(); // by depth: whether it is an object
    int depth = 0;
    while (true) {
      // a value begins here
      space();
      char head = peek();
      if (head == '{' || head == '[') {
        at++;
        objects.set(depth++, head == '{');
        space();
        if (peek() != (head == '{' ? '}' : ']')) {
          if (head == '{' && !name()) {
            return false;
          }
          continue;
        }
      } else if (!scalar(head)) {
        return false;
      }
      // a value, or an empty container that is to be closed, is behind
      while (true) {
        space();
        if (depth == 0) {
          return at == text.length();
        }
        char next = peek();
        at++;
        if (next == ',') {
          if (objects.get(depth - 1) && !name()) {
            return false;
          }
          break;
        }
        if (next != (objects.get(depth - 1) ? '}' : ']')) {
          return false;
        }
        depth--;
      }
    }
  }

  private boolean name() {
    space();
    if (!string()) {
      return false;
    }
    space();
    return peek() == ':' && at++ >= 0;
  }

  private boolean scalar(char head) {
    switch (head) {
      case '"':
        return string();
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  private boolean word(String word) {
    boolean good = text.startsWith(word, at);
    at += word.length();
    return good;
  }

  private boolean string() {
    if (peek() != '"') {
      return false;
    }
    for (at++; at < text.length(); at++) {
      char c = text.charAt(at);
      if (c == '"') {
        at++;
        return true;
      }
      if (c < ' ' || (Character.isSurrogate(c) && !pair())) {
        return false;
      }
      if (c == '\\' && !escape()) {
        return false;
      }
    }
    return false;
  }

  /** A lone surrogate has no bytes in UTF-8. */
  private boolean pair() {
    boolean good = at + 1 < text.length() && Character.isSurrogatePair(text.charAt(at), text.charAt(at + 1));
    at++;
    return good;
  }

  private boolean escape() {
    at++;
    char c = peek();
    if (c != 'u') {
      return c != 0 && "\"\\/bfnrt".indexOf(c) >= 0;
    }
    for (int i = 0; i < 4; i++) {
      at++;
      char digit = peek();
      if (digit > 'f' || Character.digit(digit, 16) < 0) {
        return false;
      }
    }
    return true;
  }

  private boolean number() {
    if (peek() == '-') {
      at++;
    }
    if (peek() == '0') {
      at++;
    } else if (!digits()) {
      return false;
    }
    if (peek() == '.') {
      at++;
      if (!digits()) {
        return false;
      }
    }
    if (peek() == 'e' || peek() == 'E') {
      at++;
      if (peek() == '+' || peek() == '-') {
        at++;
      }
      return digits();
    }
    return true;
  }

  private boolean digits() {
    int from = at;
    while (peek() >= '0' && peek() <= '9') {
      at++;
    }
    return at > from;
  }

  private void space() {
    while (at < text.length() && " \n\r\t".indexOf(text.charAt(at)) >= 0) {
      at++;
    }
  }

  private char peek() {
    return at < text.length() ? text.charAt(at) : 0;
  }
}
