package ramen.client;

import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/** One message, as a device gets it. It does not change. */
public final class Message {
  /** The content type of a message whose publisher named none. */
  public static final String JSON = "application/json";

  private static final byte[] EMPTY = {};

  private final String id;
  private final String type;
  private final Priority priority;
  private final byte[] payload;
  private final String contentType;
  private final long createdMs;
  private final long expiresMs;
  private final String collapseKey;
  private final Map<String, String> headers;
  private final boolean redelivered;
  private final long seq;

  private Message(Builder b) {
    id = b.id;
    type = b.type;
    priority = b.priority;
    payload = b.payload;
    contentType = b.contentType;
    createdMs = b.createdMs;
    expiresMs = b.expiresMs;
    collapseKey = b.collapseKey;
    headers = b.headers.isEmpty() ? Collections.emptyMap() : Collections.unmodifiableMap(new LinkedHashMap<>(b.headers));
    redelivered = b.redelivered;
    seq = b.seq;
  }

  public String id() {
    return id;
  }

  /** What kind of message it is, by the publisher's word; may be empty. */
  public String type() {
    return type;
  }

  public Priority priority() {
    return priority;
  }

  /** The bytes that were published, a copy; JSON comes without white space between its tokens. */
  public byte[] payload() {
    return payload.clone();
  }

  /** How long the payload is, in bytes. */
  public int payloadSize() {
    return payload.length;
  }

  /** The payload as UTF-8 text; JSON, unless the content type says otherwise. */
  public String text() {
    return new String(payload, StandardCharsets.UTF_8);
  }

  public String contentType() {
    return contentType;
  }

  /** When it was accepted, in ms since 1970 by the server's clock. */
  public long createdMs() {
    return createdMs;
  }

  /** From when on the server pushes it no more, in ms since 1970. */
  public long expiresMs() {
    return expiresMs;
  }

  /** May be empty. */
  public String collapseKey() {
    return collapseKey;
  }

  public Map<String, String> headers() {
    return headers;
  }

  /** A hint that this device was pushed the message before. SPEC 2.6.4 */
  public boolean redelivered() {
    return redelivered;
  }

  /** The number of the push; only good for logs. */
  public long seq() {
    return seq;
  }

  @Override
  public String toString() {
    return "Message{id=" + id + ", type=" + type + ", priority=" + priority.text() + ", " + payload.length + " bytes}";
  }

  /** A message of this id, to be filled: for tests of apps, and for this library. */
  public static Builder builder(String id) {
    return new Builder().id(id);
  }

  /** Fills a message. */
  public static final class Builder {
    private String id = "";
    private String type = "";
    private Priority priority = Priority.MEDIUM;
    private byte[] payload = EMPTY;
    private String contentType = JSON;
    private long createdMs;
    private long expiresMs;
    private String collapseKey = "";
    private Map<String, String> headers = Collections.emptyMap();
    private boolean redelivered;
    private long seq;

    public Builder id(String id) {
      this.id = Objects.requireNonNull(id);
      return this;
    }

    public Builder type(String type) {
      this.type = Objects.requireNonNull(type);
      return this;
    }

    public Builder priority(Priority priority) {
      this.priority = Objects.requireNonNull(priority);
      return this;
    }

    /** The message takes the array: it is not to be changed afterwards. */
    public Builder payload(byte[] payload) {
      this.payload = Objects.requireNonNull(payload);
      return this;
    }

    /** Empty: application/json. */
    public Builder contentType(String contentType) {
      this.contentType = contentType.isEmpty() ? JSON : contentType;
      return this;
    }

    public Builder createdMs(long createdMs) {
      this.createdMs = createdMs;
      return this;
    }

    public Builder expiresMs(long expiresMs) {
      this.expiresMs = expiresMs;
      return this;
    }

    public Builder collapseKey(String collapseKey) {
      this.collapseKey = Objects.requireNonNull(collapseKey);
      return this;
    }

    public Builder headers(Map<String, String> headers) {
      this.headers = Objects.requireNonNull(headers);
      return this;
    }

    public Builder redelivered(boolean redelivered) {
      this.redelivered = redelivered;
      return this;
    }

    public Builder seq(long seq) {
      this.seq = seq;
      return this;
    }

    public Message build() {
      return new Message(this);
    }
  }
}
