package ramen.client;

/** How a stream goes over the network. */
public enum Transport {
  /** WebSocket with protobuf frames; SPEC 6. */
  WS_PROTO("ws-proto", true),
  /** WebSocket with JSON frames, to be read by people. */
  WS_JSON("ws-json", true),
  /** Server-Sent Events; SPEC 5. */
  SSE("sse", false),
  /** Long-poll; SPEC 5.6. */
  POLL("poll", false),
  /** gRPC; SPEC 7. It needs the artifact ramen-client-grpc. */
  GRPC("grpc", true);

  private final String text;
  private final boolean twoWay;

  Transport(String text, boolean twoWay) {
    this.text = text;
    this.twoWay = twoWay;
  }

  /** Whether the device answers on the stream itself. SPEC 1.1.11 */
  public boolean twoWay() {
    return twoWay;
  }

  /** The most pushes unacked at once. SPEC 2.10 */
  public int window() {
    return twoWay ? 256 : 1024;
  }

  /** The most bytes of payload unacked at once. SPEC 2.10 */
  public int windowBytes() {
    return twoWay ? 1 << 20 : 4 << 20;
  }

  /** As it is written: ws-proto, say. */
  @Override
  public String toString() {
    return text;
  }

  /** The transport that is written so. Throws IllegalArgumentException for another. */
  public static Transport of(String text) {
    for (Transport t : values()) {
      if (t.text.equals(text)) {
        return t;
      }
    }
    throw new SettingException("transports", text, "use ws-proto, ws-json, sse, poll or grpc");
  }
}
