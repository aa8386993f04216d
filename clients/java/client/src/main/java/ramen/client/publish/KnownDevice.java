package ramen.client.publish;

import ramen.client.DeviceContext;
import ramen.client.wire.FrameException;
import ramen.client.wire.JsonObject;
import ramen.client.wire.ProtoFrames;
import ramen.client.wire.ProtoReader;

/** A device as a backend sees it. SPEC 7.1 */
public final class KnownDevice {
  private String device = "";
  private boolean online;
  private String transport = "";
  private DeviceContext context = DeviceContext.EMPTY;
  private long connectedMs;
  private long lastSeenMs;
  private long pending;
  private long unacked;
  private long rttMs;

  private KnownDevice() {}

  public String device() {
    return device;
  }

  public boolean online() {
    return online;
  }

  /** sse, ws, grpc or poll. */
  public String transport() {
    return transport;
  }

  public DeviceContext context() {
    return context;
  }

  public long connectedMs() {
    return connectedMs;
  }

  public long lastSeenMs() {
    return lastSeenMs;
  }

  /** Messages for it, alive and not acked. */
  public long pending() {
    return pending;
  }

  /** Of these, pushed on its stream. */
  public long unacked() {
    return unacked;
  }

  public long rttMs() {
    return rttMs;
  }

  @Override
  public String toString() {
    return device + (online ? " online over " + transport : " offline") + ", " + pending + " pending";
  }

  static KnownDevice of(JsonObject o) throws FrameException {
    KnownDevice d = new KnownDevice();
    d.device = o.string("device");
    d.online = o.bool("online");
    d.transport = o.string("transport");
    d.connectedMs = o.number("connected_ms");
    d.lastSeenMs = o.number("last_seen_ms");
    d.pending = o.number("pending");
    d.unacked = o.number("unacked");
    d.rttMs = o.number("rtt_ms");
    JsonObject c = o.object("context");
    if (c != null) {
      DeviceContext.Builder b = DeviceContext.builder();
      for (String name : new String[] {"app", "app_version", "os", "os_version", "model", "locale"}) {
        b.field(name, c.string(name));
      }
      c.texts("labels").forEach(b::label);
      d.context = b.build();
    }
    return d;
  }

  static KnownDevice of(ProtoReader r) throws FrameException {
    KnownDevice d = new KnownDevice();
    for (int field; (field = r.next()) != 0; ) {
      switch (field) {
        case 1:
          d.device = r.text();
          break;
        case 2:
          d.online = r.bool();
          break;
        case 3:
          d.transport = r.text();
          break;
        case 4:
          d.context = ProtoFrames.context(r.message());
          break;
        case 5:
          d.connectedMs = r.number();
          break;
        case 6:
          d.lastSeenMs = r.number();
          break;
        case 7:
          d.pending = r.number();
          break;
        case 8:
          d.unacked = r.number();
          break;
        case 9:
          d.rttMs = r.number();
          break;
        default:
          r.skip();
      }
    }
    return d;
  }
}
