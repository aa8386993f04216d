package ramen.client.grpc;

import io.grpc.ClientCall;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.io.ByteArrayOutputStream;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import ramen.client.Message;
import ramen.client.publish.Backend;
import ramen.client.publish.KnownDevice;
import ramen.client.publish.NoAnswerException;
import ramen.client.publish.ProtoBackend;
import ramen.client.publish.Publication;
import ramen.client.publish.PublishException;
import ramen.client.wire.FrameException;
import ramen.client.wire.ProtoWriter;

/** Backends' gRPC: SPEC 7.1. One channel for all calls. */
final class GrpcBackend implements Backend {
  private final ManagedChannel channel;
  private final String key;

  GrpcBackend(Channels.Target target, String key) {
    this.channel = target.open();
    this.key = key;
  }

  @Override
  public byte[] encode(Publication p, List<String> users) {
    return ProtoBackend.publish(p, users);
  }

  @Override
  public CompletableFuture<List<Answer>> exchange(List<byte[]> encoded, long timeoutMs) {
    ByteArrayOutputStream joined = new ByteArrayOutputStream();
    for (byte[] e : encoded) {
      joined.write(e, 0, e.length);
    }
    return call("Publish", joined.toByteArray(), timeoutMs, ProtoBackend::answers);
  }

  @Override
  public CompletableFuture<Boolean> recall(String user, String id, long timeoutMs) {
    byte[] request = new ProtoWriter().text(1, user).text(2, id).toBytes();
    return Backend.found(call("Recall", request, timeoutMs, data -> ProtoBackend.number(data) != 0));
  }

  @Override
  public CompletableFuture<Integer> disconnect(String user, String device, String detail, long timeoutMs) {
    byte[] request = new ProtoWriter().text(1, user).text(2, device).text(3, detail).toBytes();
    return call("Disconnect", request, timeoutMs, data -> (int) ProtoBackend.number(data));
  }

  @Override
  public CompletableFuture<List<KnownDevice>> devices(String user, long timeoutMs) {
    return call("ListDevices", new ProtoWriter().text(1, user).toBytes(), timeoutMs, ProtoBackend::devices);
  }

  @Override
  public CompletableFuture<List<Message>> messages(String user, long timeoutMs) {
    return call("ListMessages", new ProtoWriter().text(1, user).toBytes(), timeoutMs, ProtoBackend::messages);
  }

  @Override
  public void close() {
    channel.shutdownNow();
  }

  private interface Decoder<T> {
    T decode(byte[] data) throws FrameException;
  }

  private <T> CompletableFuture<T> call(String method, byte[] request, long timeoutMs, Decoder<T> decoder) {
    ClientCall<byte[], byte[]> call =
        channel.newCall(
            Channels.method(MethodDescriptor.MethodType.UNARY, "ramen.v1.Backend/" + method),
            Channels.OPTIONS.withDeadlineAfter(timeoutMs, TimeUnit.MILLISECONDS));
    CompletableFuture<T> future = new CompletableFuture<>();
    call.start(new Unary<>(decoder, future), Channels.bearer(key));
    call.request(2);
    call.sendMessage(request);
    call.halfClose();
    return future;
  }

  private static final class Unary<T> extends ClientCall.Listener<byte[]> {
    private final Decoder<T> decoder;
    private final CompletableFuture<T> future;
    private byte[] answer = {};

    Unary(Decoder<T> decoder, CompletableFuture<T> future) {
      this.decoder = decoder;
      this.future = future;
    }

    @Override
    public void onMessage(byte[] data) {
      answer = data;
    }

    @Override
    public void onClose(Status status, Metadata trailers) {
      if (!status.isOk()) {
        future.completeExceptionally(refusal(status));
        return;
      }
      try {
        future.complete(decoder.decode(answer));
      } catch (FrameException e) {
        future.completeExceptionally(new NoAnswerException("the answer is not of the contract: " + e.getMessage()));
      }
    }
  }

  private static RuntimeException refusal(Status status) {
    String text = Channels.text(status);
    switch (status.getCode()) {
      case INVALID_ARGUMENT:
      case UNIMPLEMENTED:
        return new PublishException("invalid_argument", text, 0);
      case UNAUTHENTICATED:
        return new PublishException("unauthenticated", text, 0);
      case PERMISSION_DENIED:
        return new PublishException("permission_denied", text, 0);
      case NOT_FOUND:
        return new PublishException("not_found", text, 0);
      case RESOURCE_EXHAUSTED:
        return new PublishException("resource_exhausted", text, 0);
      case UNAVAILABLE:
        return new PublishException("unavailable", text, 0);
      default:
        return new NoAnswerException(status.getCode() + ": " + text);
    }
  }
}
