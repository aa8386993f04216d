package ramen.client.grpc;

import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import ramen.client.DeviceContext;
import ramen.client.wire.Conn;
import ramen.client.wire.End;
import ramen.client.wire.Frame;
import ramen.client.wire.FrameException;
import ramen.client.wire.Opening;
import ramen.client.wire.ProtoFrames;

/** A stream over gRPC: SPEC 7. Its channel is its own. */
final class GrpcConn extends ClientCall.Listener<byte[]> implements Conn {
  private static final MethodDescriptor<byte[], byte[]> STREAM = Channels.method(MethodDescriptor.MethodType.BIDI_STREAMING, "ramen.v1.Devices/Stream");

  private final ManagedChannel channel;
  private final ClientCall<byte[], byte[]> call;
  private final Events events;
  private String token;
  private boolean halfClosed; // of the loop
  private boolean over; // guarded by this
  private Runnable finished; // guarded by this

  GrpcConn(Channels.Target target, Opening o, Events events) {
    this.events = events;
    this.token = o.token;
    this.channel = target.open();
    this.call = channel.newCall(STREAM, Channels.OPTIONS);
    call.start(this, Channels.bearer(o.token));
    call.request(1);
    send(ProtoFrames.open(new Opening(o.user, o.device, o.cursor, o.context, "", o.window, o.heartbeatMs)));
  }

  // What gRPC tells, one call at a time.

  @Override
  public void onMessage(byte[] data) {
    events.alive();
    try {
      Frame frame = ProtoFrames.serverFrame(data);
      if (frame != null) {
        events.frame(frame);
      }
      call.request(1);
    } catch (FrameException e) {
      events.ended(End.cut("not a frame of the contract: " + e.getMessage(), true));
    }
  }

  @Override
  public void onClose(Status status, Metadata trailers) {
    events.ended(End.ofGrpcStatus(status.getCode().name(), Channels.text(status), Channels.foreign(status)));
    Runnable done;
    synchronized (this) {
      over = true;
      done = finished;
    }
    if (done != null) {
      done.run();
    }
    channel.shutdown();
  }

  // What the device does.

  @Override
  public String token() {
    return token;
  }

  @Override
  public boolean seesBytes() {
    return false;
  }

  @Override
  public void ack(long seq, String cursor, Acked done) {
    send(ProtoFrames.ack(seq, seq > 0 ? "" : cursor));
    done.acked(null, false); // where it could not be sent, the reader has the cause
  }

  @Override
  public void echo(long timeMs) {
    send(ProtoFrames.heartbeat(timeMs));
  }

  @Override
  public boolean refresh(String token, DeviceContext context) {
    this.token = token;
    send(ProtoFrames.refresh(token, context));
    return true;
  }

  private void send(byte[] frame) {
    try {
      call.sendMessage(frame);
    } catch (IllegalStateException e) {
      // the call is over: the reader has the cause
    }
  }

  /** Half-closes: what was sent would be dropped by a call that is cancelled. */
  @Override
  public void finish(Runnable done) {
    boolean gone;
    synchronized (this) {
      gone = over;
      finished = done;
    }
    if (gone) {
      done.run();
      return;
    }
    if (!halfClosed) {
      halfClosed = true;
      try {
        call.halfClose();
      } catch (IllegalStateException e) {
        // the call is over
      }
    }
  }

  @Override
  public void close() {
    call.cancel("the device let go of the stream", null);
    channel.shutdownNow();
  }

  @Override
  public void abandon() {
    close();
  }
}
