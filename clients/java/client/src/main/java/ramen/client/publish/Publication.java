package ramen.client.publish;

import java.nio.charset.StandardCharsets;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.UUID;
import ramen.client.Message;
import ramen.client.Priority;
import ramen.client.SettingException;
import ramen.client.internal.Checks;

/** One message to publish. It does not change, and has an id before its first attempt (C 14.1). SPEC 7.1's Publish says more of each field. */
public final class Publication {
  private static final int MOST_PAYLOAD = 1 << 20; // no server takes more. SPEC 1.1.4
  private static final long MOST_TTL_MS = 30L * 24 * 3_600_000;
  private static final SecureRandom RANDOM = new SecureRandom();

  final List<String> users;
  final String id;
  final String device;
  final String type;
  final Priority priority;
  final byte[] payload;
  final String contentType; // empty: JSON
  final long ttlMs;
  final String collapseKey;
  final Map<String, String> headers;
  final Map<String, String> where;

  private Publication(Builder b) {
    users = b.users;
    id = b.id.isEmpty() ? newId() : b.id;
    device = b.device;
    type = b.type;
    priority = b.priority;
    payload = b.payload;
    contentType = b.contentType;
    ttlMs = b.ttlMs;
    collapseKey = b.collapseKey;
    headers = Collections.unmodifiableMap(new LinkedHashMap<>(b.headers));
    where = Collections.unmodifiableMap(new LinkedHashMap<>(b.where));
  }

  public String id() {
    return id;
  }

  /** SPEC 9.5.1. */
  boolean isJson() {
    String type = contentType.split(";", 2)[0].trim();
    return type.isEmpty() || type.equalsIgnoreCase(Message.JSON);
  }

  /** A UUIDv7: 48 bits of ms since 1970, the rest random. RFC 9562 5.7 */
  static String newId() {
    long high = System.currentTimeMillis() << 16 | 7 << 12 | RANDOM.nextInt(1 << 12);
    long low = RANDOM.nextLong() >>> 2 | 1L << 63;
    return new UUID(high, low).toString();
  }

  /** A message to one user. */
  public static Builder to(String user) {
    return toAll(Collections.singletonList(user));
  }

  /** The same message to each of the users, one result each. A user that is none is rejected by itself. */
  public static Builder toAll(List<String> users) {
    if (users.isEmpty()) {
      throw new SettingException("users", users, "give one user or more");
    }
    return new Builder(users);
  }

  /** Fills a message. Wrong fields are refused with {@link SettingException}. */
  public static final class Builder {
    private final List<String> users;
    private String id = "";
    private String device = "";
    private String type = "";
    private Priority priority = Priority.MEDIUM;
    private byte[] payload = {};
    private String contentType = "";
    private long ttlMs;
    private String collapseKey = "";
    private final Map<String, String> headers = new LinkedHashMap<>();
    private final Map<String, String> where = new LinkedHashMap<>();

    private Builder(List<String> users) {
      this.users = Collections.unmodifiableList(Arrays.asList(users.toArray(new String[0])));
    }

    /** The publisher's own id: the same id for the same user is delivered once. Without it, one is drawn. */
    public Builder id(String id) {
      Checks.name("id", id);
      this.id = id;
      return this;
    }

    /** One device of the user, instead of all. */
    public Builder device(String device) {
      Checks.name("device", device);
      this.device = device;
      return this;
    }

    public Builder type(String type) {
      Checks.name("type", type);
      this.type = type;
      return this;
    }

    public Builder priority(Priority priority) {
      this.priority = Objects.requireNonNull(priority);
      return this;
    }

    /** The payload: a JSON text. */
    public Builder json(String text) {
      JsonCheck.check(text);
      return data(text.getBytes(StandardCharsets.UTF_8), "");
    }

    /** The payload: bytes of another content type. */
    public Builder data(byte[] data, String contentType) {
      if (data.length > MOST_PAYLOAD) {
        throw new SettingException("payload", data.length + " bytes", "use " + MOST_PAYLOAD + " bytes at most");
      }
      if (!contentType.chars().allMatch(c -> c >= ' ' && c < 127)) {
        throw new SettingException("contentType", contentType, "use printable ASCII");
      }
      this.payload = data.clone();
      this.contentType = contentType;
      if (!contentType.isEmpty() && contentType.split(";", 2)[0].trim().equalsIgnoreCase(Message.JSON) && data.length > 0) {
        JsonCheck.check(new String(data, StandardCharsets.UTF_8));
      }
      return this;
    }

    /** How long it is worth delivering, from 1 s; without it, the server's default, 30 min. */
    public Builder ttl(Duration ttl) {
      this.ttlMs = Checks.number("ttl", ttl.toMillis(), 1_000, MOST_TTL_MS, "use 1 s to 30 days");
      return this;
    }

    /** It replaces the user's older messages of the same key and target. */
    public Builder collapseKey(String key) {
      Checks.name("collapseKey", key);
      this.collapseKey = key;
      return this;
    }

    public Builder header(String name, String value) {
      headers.put(Objects.requireNonNull(name), Objects.requireNonNull(value));
      return this;
    }

    /** Only devices whose context has this value: app, os, label.NAME, ... */
    public Builder where(String key, String value) {
      where.put(Objects.requireNonNull(key), Objects.requireNonNull(value));
      return this;
    }

    public Publication build() {
      return new Publication(this);
    }
  }
}
