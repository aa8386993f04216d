package ramen.client.wire;

import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/**
 * Reads the fields of one protobuf message. The contract's messages are few and flat; reading them by hand spares apps a runtime of protobuf's, whose
 * version would have to agree with theirs.
 */
public final class ProtoReader {
  private static final int VARINT = 0;
  private static final int FIXED64 = 1;
  private static final int BYTES = 2;
  private static final int GROUP = 3;
  private static final int GROUP_END = 4;
  private static final int FIXED32 = 5;

  private final byte[] data;
  private int at;
  private final int end;
  private int field;
  private int wireType;

  public ProtoReader(byte[] data) {
    this(data, 0, data.length);
  }

  private ProtoReader(byte[] data, int at, int end) {
    this.data = data;
    this.at = at;
    this.end = end;
  }

  /** The number of the next field; 0: there is none. Its value is to be read, or skipped. */
  public int next() throws FrameException {
    if (at == end) {
      return 0;
    }
    long tag = varint();
    field = (int) (tag >>> 3);
    wireType = (int) (tag & 7);
    if (tag >>> 32 != 0 || field == 0) {
      throw new FrameException("field " + (tag >>> 3));
    }
    return field;
  }

  public long number() throws FrameException {
    expect(VARINT);
    return varint();
  }

  public boolean bool() throws FrameException {
    return number() != 0;
  }

  public byte[] bytes() throws FrameException {
    int from = open();
    return java.util.Arrays.copyOfRange(data, from, at);
  }

  public String text() throws FrameException {
    int from = open();
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(data, from, at - from)).toString();
    } catch (CharacterCodingException e) {
      throw new FrameException("a text is not UTF-8");
    }
  }

  /** A reader of a message within this one. */
  public ProtoReader message() throws FrameException {
    int from = open();
    return new ProtoReader(data, from, at);
  }

  /** Adds an entry of a map of texts. */
  public void entry(Map<String, String> texts) throws FrameException {
    ProtoReader r = message();
    String key = "";
    String value = "";
    for (int field; (field = r.next()) != 0; ) {
      if (field == 1) {
        key = r.text();
      } else if (field == 2) {
        value = r.text();
      } else {
        r.skip();
      }
    }
    texts.put(key, value);
  }

  /** Leaves out a field of a newer server. */
  public void skip() throws FrameException {
    int[] groups = new int[16];
    int depth = 0;
    do {
      switch (wireType) {
        case VARINT:
          varint();
          break;
        case FIXED64:
          move(8);
          break;
        case BYTES:
          open();
          break;
        case FIXED32:
          move(4);
          break;
        case GROUP:
          if (depth == groups.length) {
            throw new FrameException("groups are nested too deep");
          }
          groups[depth++] = field;
          break;
        case GROUP_END:
          if (depth == 0 || groups[--depth] != field) {
            throw new FrameException("a group's end without its begin");
          }
          break;
        default:
          throw new FrameException("wire type " + wireType);
      }
      if (depth > 0 && next() == 0) {
        throw new FrameException("a group without an end");
      }
    } while (depth > 0);
  }

  private int open() throws FrameException {
    expect(BYTES);
    long size = varint();
    if (size < 0 || size > end - at) {
      throw new FrameException("protobuf is cut off");
    }
    int from = at;
    at += (int) size;
    return from;
  }

  private void move(int n) throws FrameException {
    if (n > end - at) {
      throw new FrameException("protobuf is cut off");
    }
    at += n;
  }

  private void expect(int want) throws FrameException {
    if (wireType != want) {
      throw new FrameException("a field has wire type " + wireType);
    }
  }

  private long varint() throws FrameException {
    long value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at == end) {
        throw new FrameException("protobuf is cut off");
      }
      byte b = data[at++];
      value |= (long) (b & 0x7F) << shift;
      if (b >= 0) {
        return value;
      }
    }
    throw new FrameException("a number of eleven bytes");
  }
}
