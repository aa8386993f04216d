package ramen.client;

import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/**
 * What a device says of itself: 1 KiB in all, 16 labels. Publishers choose devices by it ({@code where}). It does not change. SPEC 1.1.3
 */
public final class DeviceContext {
  /** A context that says nothing. */
  public static final DeviceContext EMPTY = builder().build();

  /** The most labels. */
  public static final int MAX_LABELS = 16;

  /** The most bytes in all, keys of labels counted. */
  public static final int MAX_BYTES = 1024;

  private final Map<String, String> fields;
  private final Map<String, String> labels;

  private DeviceContext(Map<String, String> fields, Map<String, String> labels) {
    this.fields = Collections.unmodifiableMap(new LinkedHashMap<>(fields));
    this.labels = Collections.unmodifiableMap(new LinkedHashMap<>(labels));
  }

  /** The fields that are not empty, by their names on the wire (app, app_version, ...), in the order of SPEC 7.1. */
  public Map<String, String> fields() {
    return fields;
  }

  public Map<String, String> labels() {
    return labels;
  }

  /** The bytes that count against the limit. */
  public int size() {
    int n = 0;
    for (String value : fields.values()) {
      n += utf8(value);
    }
    for (Map.Entry<String, String> e : labels.entrySet()) {
      n += utf8(e.getKey()) + utf8(e.getValue());
    }
    return n;
  }

  /** Whether it is within the limits. */
  public boolean fits() {
    return labels.size() <= MAX_LABELS && size() <= MAX_BYTES;
  }

  private static int utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8).length;
  }

  /** A builder that begins with what this one says. */
  public Builder toBuilder() {
    Builder b = builder();
    b.fields.putAll(fields);
    b.labels.putAll(labels);
    return b;
  }

  @Override
  public boolean equals(Object o) {
    return o instanceof DeviceContext && fields.equals(((DeviceContext) o).fields) && labels.equals(((DeviceContext) o).labels);
  }

  @Override
  public int hashCode() {
    return Objects.hash(fields, labels);
  }

  @Override
  public String toString() {
    return "DeviceContext" + fields + labels;
  }

  public static Builder builder() {
    return new Builder();
  }

  /** Fills a context. */
  public static final class Builder {
    private static final String[] NAMES = {"app", "app_version", "os", "os_version", "model", "locale"};
    private final Map<String, String> fields = new LinkedHashMap<>();
    private final Map<String, String> labels = new LinkedHashMap<>();

    public Builder app(String app) {
      return field("app", app);
    }

    public Builder appVersion(String appVersion) {
      return field("app_version", appVersion);
    }

    public Builder os(String os) {
      return field("os", os);
    }

    public Builder osVersion(String osVersion) {
      return field("os_version", osVersion);
    }

    public Builder model(String model) {
      return field("model", model);
    }

    /** A BCP 47 tag, as in Locale.toLanguageTag(). */
    public Builder locale(String locale) {
      return field("locale", locale);
    }

    public Builder label(String name, String value) {
      labels.put(Objects.requireNonNull(name), Objects.requireNonNull(value));
      return this;
    }

    /** Sets a field by its name on the wire; names of newer servers are dropped. */
    public Builder field(String name, String value) {
      fields.put(name, Objects.requireNonNull(value));
      return this;
    }

    public DeviceContext build() {
      Map<String, String> ordered = new LinkedHashMap<>();
      for (String name : NAMES) {
        String value = fields.get(name);
        if (value != null && !value.isEmpty()) {
          ordered.put(name, value);
        }
      }
      return new DeviceContext(ordered, labels);
    }
  }
}
