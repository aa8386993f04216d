package ramen.client.grpc;

import io.grpc.CallOptions;
import io.grpc.KnownLength;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.okhttp.OkHttpChannelBuilder;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Locale;
import ramen.client.SettingException;
import ramen.client.internal.Workers;
import ramen.client.wire.Frame;

/** What devices and publishers share of gRPC. */
final class Channels {
  static final CallOptions OPTIONS = CallOptions.DEFAULT.withExecutor(Workers.POOL);
  private static final Metadata.Key<String> AUTHORIZATION = Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER);

  private Channels() {}

  /** Makes channels to one server. */
  static final class Target {
    private final String authority;
    private final boolean secure;

    /** host:port in cleartext, or https://host[:port]. Throws SettingException. */
    Target(String text) {
      String right = "use host:port, as in push.example.com:8081, or https://host:port for TLS";
      secure = text.toLowerCase(Locale.ROOT).startsWith("https://");
      String rest = text.replaceFirst("^(?i)https?://", "").replaceFirst("/$", "");
      boolean port = rest.matches(".*:[0-9]+");
      if (rest.isEmpty() || rest.contains("/") || (!port && !secure)) {
        throw new SettingException("grpc", text, right);
      }
      authority = port ? rest : rest + ":443";
    }

    /** A channel that tries nothing again by itself: that is the device's and the publisher's part. */
    ManagedChannel open() {
      OkHttpChannelBuilder b = OkHttpChannelBuilder.forTarget("dns:///" + authority).disableRetry().maxInboundMessageSize(Frame.MAX);
      return (secure ? b.useTransportSecurity() : b.usePlaintext()).executor(Workers.POOL).transportExecutor(Workers.POOL).build();
    }
  }

  static Metadata bearer(String token) {
    Metadata metadata = new Metadata();
    if (!token.isEmpty()) {
      metadata.put(AUTHORIZATION, "Bearer " + token);
    }
    return metadata;
  }

  /** Whether the status was made from what somebody in between answered, or by this side. */
  static boolean foreign(Status status) {
    String text = text(status);
    return status.getCause() != null || text.startsWith("HTTP status code") || text.contains("invalid content-type") || text.startsWith("gRPC message exceeds");
  }

  static String text(Status status) {
    return status.getDescription() == null ? "" : status.getDescription();
  }

  static MethodDescriptor<byte[], byte[]> method(MethodDescriptor.MethodType type, String name) {
    return MethodDescriptor.newBuilder(Bytes.AS_THEY_ARE, Bytes.AS_THEY_ARE).setType(type).setFullMethodName(name).build();
  }

  /** Messages are encoded and decoded by this library, without a runtime of protobuf's. */
  private enum Bytes implements MethodDescriptor.Marshaller<byte[]> {
    AS_THEY_ARE;

    @Override
    public InputStream stream(byte[] value) {
      return new Known(value);
    }

    @Override
    public byte[] parse(InputStream stream) {
      try {
        ByteArrayOutputStream out = new ByteArrayOutputStream(Math.max(32, stream.available()));
        byte[] chunk = new byte[4096];
        for (int n; (n = stream.read(chunk)) >= 0; ) {
          out.write(chunk, 0, n);
        }
        return out.toByteArray();
      } catch (IOException e) {
        throw Status.INTERNAL.withCause(e).asRuntimeException();
      }
    }
  }

  private static final class Known extends ByteArrayInputStream implements KnownLength {
    Known(byte[] value) {
      super(value);
    }
  }
}
