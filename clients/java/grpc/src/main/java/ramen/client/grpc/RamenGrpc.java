package ramen.client.grpc;

import ramen.client.publish.Backend;
import ramen.client.wire.Conn;

/** Where gRPC is given to a device or a publisher. */
public final class RamenGrpc {
  private RamenGrpc() {}

  /**
   * For {@code RamenDevice.Builder.grpc}: the devices' gRPC port, as host:port in cleartext or https://host:port. Throws {@link
   * ramen.client.SettingException}.
   */
  public static Conn.Dialer devices(String target) {
    Channels.Target checked = new Channels.Target(target);
    return (opening, events) -> new GrpcConn(checked, opening, events);
  }

  /** For {@code RamenPublisher.builder}: the backends' gRPC port, as host:port in cleartext or https://host:port, and the API key; empty: none. */
  public static Backend backends(String target, String key) {
    return new GrpcBackend(new Channels.Target(target), key);
  }
}
