package ramen.client.wire;

import java.math.BigDecimal;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * An object of a JSON text. Its members are read when they are asked for; what nobody asks for is only known to end. Of a name that stands twice the last
 * counts. Members that are absent or null have the zero of their type.
 */
public final class JsonObject {
  private final String text;
  private final Map<String, int[]> members = new LinkedHashMap<>();

  private JsonObject(String text) {
    this.text = text;
  }

  /** The object that is all of text. */
  public static JsonObject of(String text) throws FrameException {
    JsonObject o = new JsonObject(text);
    if (JsonText.space(text, o.read(JsonText.space(text, 0))) != text.length()) {
      throw new FrameException("text behind a JSON value");
    }
    return o;
  }

  private static JsonObject at(String text, int at) throws FrameException {
    JsonObject o = new JsonObject(text);
    o.read(at);
    return o;
  }

  private int read(int at) throws FrameException {
    at = begin(text, at, '{');
    if (is(text, at, '}')) {
      return at + 1;
    }
    while (true) {
      int end = JsonText.end(text, at);
      if (text.charAt(at) != '"') {
        throw new FrameException("JSON object without a name at " + at);
      }
      String name = JsonText.string(text, at, end);
      at = JsonText.space(text, end);
      if (!is(text, at, ':')) {
        throw new FrameException("JSON object without a colon at " + at);
      }
      at = JsonText.space(text, at + 1);
      end = JsonText.end(text, at);
      members.put(name, new int[] {at, end});
      at = JsonText.space(text, end);
      if (!is(text, at, ',')) {
        break;
      }
      at = JsonText.space(text, at + 1);
    }
    if (!is(text, at, '}')) {
      throw new FrameException("JSON object without an end at " + at);
    }
    return at + 1;
  }

  private static int begin(String text, int at, char bracket) throws FrameException {
    if (!is(text, at, bracket)) {
      throw new FrameException("no " + bracket + " at " + at);
    }
    return JsonText.space(text, at + 1);
  }

  private static boolean is(String text, int at, char c) {
    return at < text.length() && text.charAt(at) == c;
  }

  /** Whether there is a member of the name, null or not. */
  public boolean has(String name) {
    return members.containsKey(name);
  }

  /** A member as it is written; null where it is absent. */
  public String raw(String name) {
    int[] span = members.get(name);
    return span == null ? null : text.substring(span[0], span[1]);
  }

  private int[] span(String name) {
    int[] span = members.get(name);
    return span == null || text.regionMatches(span[0], "null", 0, span[1] - span[0]) ? null : span;
  }

  public String string(String name) throws FrameException {
    int[] span = span(name);
    if (span == null) {
      return "";
    }
    if (text.charAt(span[0]) != '"') {
      throw new FrameException(name + " is no text");
    }
    return JsonText.string(text, span[0], span[1]);
  }

  public boolean bool(String name) throws FrameException {
    int[] span = span(name);
    String word = span == null ? "false" : text.substring(span[0], span[1]);
    if (!word.equals("true") && !word.equals("false")) {
      throw new FrameException(name + " is neither true nor false");
    }
    return word.equals("true");
  }

  /** A whole number from 0 on, however it is written. */
  public long number(String name) throws FrameException {
    int[] span = span(name);
    if (span == null) {
      return 0;
    }
    String word = text.substring(span[0], span[1]);
    try {
      if (word.length() < 40 && "-0123456789".indexOf(word.charAt(0)) >= 0) {
        BigDecimal n = new BigDecimal(word);
        if (n.signum() >= 0 && n.precision() - n.scale() <= 20) {
          return n.longValueExact();
        }
      }
    } catch (ArithmeticException | NumberFormatException e) {
      // told below
    }
    throw new FrameException(name + " is no whole number");
  }

  /** null where it is absent. */
  public JsonObject object(String name) throws FrameException {
    int[] span = span(name);
    return span == null ? null : at(text, span[0]);
  }

  /** The objects of an array. */
  public List<JsonObject> objects(String name) throws FrameException {
    List<JsonObject> found = new ArrayList<>();
    for (int[] span : elements(name)) {
      found.add(at(text, span[0]));
    }
    return found;
  }

  /** The texts of an array. */
  public List<String> strings(String name) throws FrameException {
    List<String> found = new ArrayList<>();
    for (int[] span : elements(name)) {
      if (text.charAt(span[0]) != '"') {
        throw new FrameException(name + " are no texts");
      }
      found.add(JsonText.string(text, span[0], span[1]));
    }
    return found;
  }

  private List<int[]> elements(String name) throws FrameException {
    int[] span = span(name);
    if (span == null) {
      return Collections.emptyList();
    }
    List<int[]> found = new ArrayList<>();
    int at = begin(text, span[0], '[');
    if (is(text, at, ']')) {
      return found;
    }
    while (true) {
      int end = JsonText.end(text, at);
      found.add(new int[] {at, end});
      at = JsonText.space(text, end);
      if (!is(text, at, ',')) {
        break;
      }
      at = JsonText.space(text, at + 1);
    }
    if (!is(text, at, ']')) {
      throw new FrameException("JSON array without an end at " + at);
    }
    return found;
  }

  /** An object of texts. */
  public Map<String, String> texts(String name) throws FrameException {
    JsonObject o = object(name);
    if (o == null) {
      return Collections.emptyMap();
    }
    Map<String, String> texts = new LinkedHashMap<>();
    for (String key : o.members.keySet()) {
      texts.put(key, o.string(key));
    }
    return texts;
  }
}
