package ramen.client.wire;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.TreeMap;

/** Writes the fields of one protobuf message, in the order of the calls. Zeros and empty texts are left out. */
public final class ProtoWriter {
  private final ByteArrayOutputStream out = new ByteArrayOutputStream();

  public ProtoWriter number(int field, long value) {
    if (value != 0) {
      varint((long) field << 3);
      varint(value);
    }
    return this;
  }

  public ProtoWriter text(int field, String value) {
    return value.isEmpty() ? this : field(field, utf8(value));
  }

  public ProtoWriter bytes(int field, byte[] value) {
    return value.length == 0 ? this : field(field, value);
  }

  /** A message within this one, or one of several: it is written though it be empty. */
  public ProtoWriter message(int field, ProtoWriter value) {
    return field(field, value.toBytes());
  }

  /** A map of texts, its keys in order. */
  public ProtoWriter texts(int field, Map<String, String> texts) {
    for (Map.Entry<String, String> e : new TreeMap<>(texts).entrySet()) {
      message(field, new ProtoWriter().field(1, utf8(e.getKey())).field(2, utf8(e.getValue())));
    }
    return this;
  }

  /** Texts, empty ones too. */
  public ProtoWriter repeated(int field, Iterable<String> texts) {
    for (String text : texts) {
      field(field, utf8(text));
    }
    return this;
  }

  public byte[] toBytes() {
    return out.toByteArray();
  }

  private static byte[] utf8(String text) {
    return text.getBytes(StandardCharsets.UTF_8);
  }

  private ProtoWriter field(int field, byte[] value) {
    varint((long) field << 3 | 2);
    varint(value.length);
    out.write(value, 0, value.length);
    return this;
  }

  private void varint(long n) {
    while ((n & ~0x7FL) != 0) {
      out.write((int) (n & 0x7F | 0x80));
      n >>>= 7;
    }
    out.write((int) n);
  }
}
