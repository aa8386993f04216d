package ramen.client.wire;

import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Map;
import ramen.client.DeviceContext;
import ramen.client.Message;
import ramen.client.Priority;

/** Frames as JSON: SPEC 4.4, 5, 6.2. */
public final class JsonFrames {
  private JsonFrames() {}

  /** A WebSocket's text frame; null where it is none that this version knows. SPEC 6.2 */
  public static Frame textFrame(String text) throws FrameException {
    if (text.isEmpty()) {
      return new Frame.Heartbeat(0);
    }
    JsonObject o = JsonObject.of(text);
    if (o.has("push")) {
      return push(member(o, "push"), "");
    }
    if (o.has("hello")) {
      return hello(member(o, "hello"), "");
    }
    return o.has("goaway") ? goaway(member(o, "goaway")) : null;
  }

  private static JsonObject member(JsonObject o, String name) throws FrameException {
    JsonObject member = o.object(name);
    if (member == null) {
      throw new FrameException(name + " is null");
    }
    return member;
  }

  /** An SSE event; null where its name is unknown. SPEC 5.1 to 5.3 */
  public static Frame event(EventParser.Event e) throws FrameException {
    switch (e.name) {
      case "":
      case "message":
        return push(JsonObject.of(e.data), e.id);
      case "hello":
        return hello(JsonObject.of(e.data), e.id);
      case "goaway":
        return goaway(JsonObject.of(e.data));
      case "heartbeat":
        return new Frame.Heartbeat(0);
      default:
        return null;
    }
  }

  private static Frame.Hello hello(JsonObject o, String cursor) throws FrameException {
    Frame.Hello h = new Frame.Hello();
    h.resumed = o.bool("resumed");
    h.stream = o.string("stream");
    h.seq = o.number("seq");
    h.heartbeatMs = o.number("heartbeat_ms");
    h.timeoutMs = o.number("timeout_ms");
    h.ackMs = o.number("ack_ms");
    h.timeMs = o.number("time_ms");
    h.expired = o.number("expired");
    h.cursor = cursor.isEmpty() ? o.string("cursor") : cursor;
    return h;
  }

  private static Frame.GoAway goaway(JsonObject o) throws FrameException {
    Frame.GoAway g = new Frame.GoAway();
    g.reason = o.string("reason");
    g.reconnectMs = o.number("reconnect_ms");
    g.detail = o.string("detail");
    return g;
  }

  private static Frame.Push push(JsonObject o, String cursor) throws FrameException {
    return new Frame.Push(message(o), cursor.isEmpty() ? o.string("cursor") : cursor);
  }

  /** A message, its payload byte by byte. SPEC 5.2 */
  public static Message message(JsonObject o) throws FrameException {
    String id = o.string("id");
    if (id.isEmpty()) {
      throw new FrameException("a push without an id");
    }
    String payload = o.raw("payload");
    return Message.builder(id)
        .type(o.string("type"))
        .priority(Priority.of(o.string("priority")))
        .payload(payload == null ? base64(o.string("payload_b64")) : payload.getBytes(StandardCharsets.UTF_8))
        .contentType(o.string("content_type"))
        .createdMs(o.number("created_ms"))
        .expiresMs(o.number("expires_ms"))
        .collapseKey(o.string("collapse_key"))
        .headers(o.texts("headers"))
        .redelivered(o.bool("redelivered"))
        .seq(o.number("seq"))
        .build();
  }

  private static byte[] base64(String text) throws FrameException {
    try {
      return Base64.getDecoder().decode(text);
    } catch (IllegalArgumentException e) {
      throw new FrameException("payload_b64 is no base64");
    }
  }

  /** The body of a poll's answer. SPEC 5.6 */
  public static PollAnswer poll(String text) throws FrameException {
    JsonObject o = JsonObject.of(text);
    PollAnswer a = new PollAnswer();
    a.cursor = o.string("cursor");
    if (!o.has("stream") || !o.has("resumed") || !Cursors.valid(a.cursor)) {
      throw new FrameException("not the answer of a poll");
    }
    a.resumed = o.bool("resumed");
    a.stream = o.string("stream");
    a.expired = o.number("expired");
    for (JsonObject m : o.objects("messages")) {
      a.messages.add(message(m));
    }
    JsonObject goaway = o.object("goaway");
    a.goaway = goaway == null ? null : goaway(goaway);
    return a;
  }

  /** Code and message of SPEC 4.4.1; null where the body is somebody else's. */
  public static String[] error(String body) {
    try {
      JsonObject error = JsonObject.of(body).object("error");
      if (error == null || error.string("code").isEmpty()) {
        return null;
      }
      return new String[] {error.string("code"), error.string("message")};
    } catch (FrameException e) {
      return null;
    }
  }

  static String ack(long seq, String cursor) {
    StringBuilder out = new StringBuilder("{\"ack\":{");
    if (cursor.isEmpty()) {
      out.append("\"seq\":").append(seq);
    } else {
      out.append("\"cursor\":");
      JsonText.quote(out, cursor);
    }
    return out.append("}}").toString();
  }

  static String refresh(String token, DeviceContext context) {
    StringBuilder out = new StringBuilder("{\"refresh\":{");
    if (!token.isEmpty()) {
      out.append("\"token\":");
      JsonText.quote(out, token);
    }
    if (context != null) {
      out.append(token.isEmpty() ? "" : ",").append("\"context\":");
      StringBuilder fields = new StringBuilder();
      texts(fields, context.fields());
      if (!context.labels().isEmpty()) {
        fields.setLength(fields.length() - 1);
        fields.append(context.fields().isEmpty() ? "" : ",").append("\"labels\":");
        texts(fields, context.labels());
        fields.append('}');
      }
      out.append(fields);
    }
    return out.append("}}").toString();
  }

  /** Appends an object of texts. */
  public static void texts(StringBuilder out, Map<String, String> texts) {
    out.append('{');
    for (Map.Entry<String, String> e : texts.entrySet()) {
      if (out.charAt(out.length() - 1) != '{') {
        out.append(',');
      }
      JsonText.quote(out, e.getKey());
      out.append(':');
      JsonText.quote(out, e.getValue());
    }
    out.append('}');
  }

  /** Appends text as a JSON string. */
  public static void quote(StringBuilder out, String text) {
    JsonText.quote(out, text);
  }
}
