package ramen.client.wire;

import java.util.LinkedHashMap;
import java.util.Map;
import ramen.client.DeviceContext;
import ramen.client.Message;
import ramen.client.Priority;

/** Frames as protobuf: SPEC 7.1. */
public final class ProtoFrames {
  private ProtoFrames() {}

  /** A ServerFrame; null where it is none that this version knows. */
  public static Frame serverFrame(byte[] data) throws FrameException {
    ProtoReader r = new ProtoReader(data);
    Frame frame = null; // of a oneof the last member counts
    for (int field; (field = r.next()) != 0; ) {
      switch (field) {
        case 1:
          frame = hello(r.message());
          break;
        case 2:
          frame = push(r.message());
          break;
        case 3:
          frame = heartbeat(r.message());
          break;
        case 4:
          frame = goaway(r.message());
          break;
        default:
          r.skip();
      }
    }
    return frame;
  }

  private static Frame.Hello hello(ProtoReader r) throws FrameException {
    Frame.Hello h = new Frame.Hello();
    for (int field; (field = r.next()) != 0; ) {
      switch (field) {
        case 1:
          h.resumed = r.bool();
          break;
        case 2:
          h.heartbeatMs = r.number();
          break;
        case 3:
          h.timeoutMs = r.number();
          break;
        case 4:
          h.ackMs = r.number();
          break;
        case 5:
          h.timeMs = r.number();
          break;
        case 6:
          h.expired = r.number();
          break;
        case 7:
          h.stream = r.text();
          break;
        case 8:
          h.seq = r.number();
          break;
        case 9:
          h.cursor = r.text();
          break;
        default:
          r.skip();
      }
    }
    return h;
  }

  private static Frame.Push push(ProtoReader r) throws FrameException {
    Message.Builder m = Message.builder("");
    String cursor = "";
    for (int field; (field = r.next()) != 0; ) {
      switch (field) {
        case 1:
          m.seq(r.number());
          break;
        case 2:
          message(r.message(), m);
          break;
        case 3:
          cursor = r.text();
          break;
        case 4:
          m.redelivered(r.bool());
          break;
        default:
          r.skip();
      }
    }
    Message message = m.build();
    if (message.id().isEmpty()) {
      throw new FrameException("a push without an id");
    }
    return new Frame.Push(message, cursor);
  }

  /** Reads a Message into m. */
  public static void message(ProtoReader r, Message.Builder m) throws FrameException {
    Map<String, String> headers = new LinkedHashMap<>();
    for (int field; (field = r.next()) != 0; ) {
      switch (field) {
        case 1:
          m.id(r.text());
          break;
        case 2:
          m.type(r.text());
          break;
        case 3:
          m.priority(priority(r.number()));
          break;
        case 4:
          m.payload(r.bytes());
          break;
        case 5:
          m.contentType(r.text());
          break;
        case 6:
          m.createdMs(r.number());
          break;
        case 7:
          m.expiresMs(r.number());
          break;
        case 8:
          m.collapseKey(r.text());
          break;
        case 9:
          r.entry(headers);
          break;
        default:
          r.skip();
      }
    }
    m.headers(headers);
  }

  private static Priority priority(long number) {
    return number == 1 ? Priority.HIGH : number == 3 ? Priority.LOW : Priority.MEDIUM;
  }

  private static Frame.Heartbeat heartbeat(ProtoReader r) throws FrameException {
    long timeMs = 0;
    for (int field; (field = r.next()) != 0; ) {
      if (field == 1) {
        timeMs = r.number();
      } else {
        r.skip();
      }
    }
    return new Frame.Heartbeat(timeMs);
  }

  private static Frame.GoAway goaway(ProtoReader r) throws FrameException {
    Frame.GoAway g = new Frame.GoAway();
    for (int field; (field = r.next()) != 0; ) {
      switch (field) {
        case 1:
          g.reason = r.text();
          break;
        case 2:
          g.reconnectMs = r.number();
          break;
        case 3:
          g.detail = r.text();
          break;
        default:
          r.skip();
      }
    }
    return g;
  }

  /** Reads a DeviceContext. */
  public static DeviceContext context(ProtoReader r) throws FrameException {
    String[] names = {"", "app", "app_version", "os", "os_version", "model", "locale"};
    DeviceContext.Builder c = DeviceContext.builder();
    Map<String, String> labels = new LinkedHashMap<>();
    for (int field; (field = r.next()) != 0; ) {
      if (field < names.length) {
        c.field(names[field], r.text());
      } else if (field == 7) {
        r.entry(labels);
      } else {
        r.skip();
      }
    }
    labels.forEach(c::label);
    return c.build();
  }

  /** The first frame of a gRPC stream. */
  public static byte[] open(Opening o) {
    ProtoWriter w = new ProtoWriter().text(1, o.user).text(2, o.device).text(3, o.cursor);
    if (!o.context.equals(DeviceContext.EMPTY)) {
      w.message(5, context(o.context));
    }
    w.text(6, o.token).number(7, o.window).number(8, o.heartbeatMs);
    return frame(1, w);
  }

  private static ProtoWriter context(DeviceContext c) {
    Map<String, String> f = c.fields();
    ProtoWriter w = new ProtoWriter();
    String[] names = {"app", "app_version", "os", "os_version", "model", "locale"};
    for (int i = 0; i < names.length; i++) {
      w.text(i + 1, f.getOrDefault(names[i], ""));
    }
    return w.texts(7, c.labels());
  }

  /** An ack by cursor, or by seq where that is empty. */
  public static byte[] ack(long seq, String cursor) {
    return frame(2, cursor.isEmpty() ? new ProtoWriter().number(1, seq) : new ProtoWriter().text(2, cursor));
  }

  public static byte[] heartbeat(long timeMs) {
    return frame(3, new ProtoWriter().number(1, timeMs));
  }

  /** context: null: unchanged. */
  public static byte[] refresh(String token, DeviceContext context) {
    ProtoWriter w = new ProtoWriter().text(1, token);
    if (context != null) {
      w.message(2, context(context));
    }
    return frame(4, w);
  }

  private static byte[] frame(int field, ProtoWriter message) {
    return new ProtoWriter().message(field, message).toBytes();
  }
}
