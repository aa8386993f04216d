package ramen.client.publish;

import java.util.ArrayList;
import java.util.List;
import ramen.client.Message;
import ramen.client.wire.FrameException;
import ramen.client.wire.ProtoFrames;
import ramen.client.wire.ProtoReader;
import ramen.client.wire.ProtoWriter;

/** The calls of backends as protobuf: SPEC 7.1. */
public final class ProtoBackend {
  private ProtoBackend() {}

  /** A PublishRequest of one message. Messages that are joined are one message, so requests are joined of these. */
  public static byte[] publish(Publication p, List<String> users) {
    ProtoWriter w = new ProtoWriter();
    if (users.size() == 1) {
      w.text(1, users.get(0));
    }
    w.text(2, p.device).text(3, p.id).text(4, p.type).number(5, p.priority.ordinal() + 1L).bytes(6, p.payload).text(7, p.contentType);
    w.number(8, p.ttlMs).text(9, p.collapseKey).texts(10, p.headers).texts(11, p.where);
    if (users.size() > 1) {
      w.repeated(12, users);
    }
    return new ProtoWriter().message(1, w).toBytes();
  }

  /** The results of a PublishResponse. */
  public static List<Backend.Answer> answers(byte[] data) throws FrameException {
    List<Backend.Answer> found = new ArrayList<>();
    ProtoReader r = new ProtoReader(data);
    for (int field; (field = r.next()) != 0; ) {
      if (field == 1) {
        found.add(answer(r.message()));
      } else {
        r.skip();
      }
    }
    return found;
  }

  private static Backend.Answer answer(ProtoReader r) throws FrameException {
    String[] statuses = {"", "accepted", "duplicate", "rejected"};
    long status = 0;
    long devices = 0;
    String[] error = {"", "", ""};
    for (int field; (field = r.next()) != 0; ) {
      switch (field) {
        case 2:
          status = r.number();
          break;
        case 3:
          ProtoReader e = r.message();
          for (int part; (part = e.next()) != 0; ) {
            if (part < error.length) {
              error[part] = e.text();
            } else {
              e.skip();
            }
          }
          break;
        case 4:
          devices = r.number();
          break;
        default:
          r.skip();
      }
    }
    return new Backend.Answer(status < statuses.length ? statuses[(int) status] : "", (int) devices, error[1], error[2]);
  }

  public static List<KnownDevice> devices(byte[] data) throws FrameException {
    List<KnownDevice> found = new ArrayList<>();
    ProtoReader r = new ProtoReader(data);
    for (int field; (field = r.next()) != 0; ) {
      if (field == 1) {
        found.add(KnownDevice.of(r.message()));
      } else {
        r.skip();
      }
    }
    return found;
  }

  public static List<Message> messages(byte[] data) throws FrameException {
    List<Message> found = new ArrayList<>();
    ProtoReader r = new ProtoReader(data);
    for (int field; (field = r.next()) != 0; ) {
      if (field == 1) {
        Message.Builder m = Message.builder("");
        ProtoFrames.message(r.message(), m);
        found.add(m.build());
      } else {
        r.skip();
      }
    }
    return found;
  }

  /** The one number of a RecallResponse or DisconnectResponse. */
  public static long number(byte[] data) throws FrameException {
    long n = 0;
    ProtoReader r = new ProtoReader(data);
    for (int field; (field = r.next()) != 0; ) {
      if (field == 1) {
        n = r.number();
      } else {
        r.skip();
      }
    }
    return n;
  }
}
