package ramen.client.wire;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** A parser of Server-Sent Events, by the rules of the HTML standard (9.2.6), for bytes as they come. After an exception it is not to be used again. */
final class EventParser {
  /** One event. */
  static final class Event {
    /** Empty: the default type, message. */
    final String name;

    /** The last id of the stream, this event's or an earlier one's. */
    final String id;

    final String data;

    /** The last retry: of the stream, in ms; 0: none came yet. */
    final long retryMs;

    Event(String name, String id, String data, long retryMs) {
      this.name = name;
      this.id = id;
      this.data = data;
      this.retryMs = retryMs;
    }
  }

  private final int limit;
  private final Bytes line = new Bytes(); // the begin of a line whose end has not come
  private final Bytes data = new Bytes(); // each line of it ends with LF
  private String name = "";
  private String id = "";
  private long retryMs;
  private boolean begun; // the byte order mark, if any, is behind
  private boolean afterCr; // an LF that comes next ends no further line

  EventParser(int limit) {
    this.limit = limit;
  }

  /** Takes what was read; answers the events that are complete. */
  List<Event> feed(byte[] chunk, int length) throws FrameException {
    List<Event> events = new ArrayList<>(1);
    int from = 0;
    for (int i = 0; i < length; i++) {
      byte b = chunk[i];
      if (afterCr && b == '\n') {
        from = i + 1;
      } else if (b == '\n' || b == '\r') {
        take(chunk, from, i);
        endLine(events);
        from = i + 1;
      }
      afterCr = b == '\r';
    }
    take(chunk, from, length);
    return events;
  }

  private void take(byte[] chunk, int from, int to) throws FrameException {
    if (line.size + data.size + (to - from) > limit) {
      throw new FrameException("an event is over " + limit + " bytes");
    }
    line.add(chunk, from, to);
  }

  private void endLine(List<Event> events) {
    int from = 0;
    if (!begun) {
      begun = true;
      if (line.size >= 3 && line.at(0) == 0xEF && line.at(1) == 0xBB && line.at(2) == 0xBF) {
        from = 3;
      }
    }
    if (line.size > from) {
      field(from);
    } else {
      if (data.size > 0) {
        events.add(new Event(name, id, data.text(0, data.size - 1), retryMs));
        data.clear();
      }
      name = "";
    }
    line.clear();
  }

  private void field(int from) {
    int colon = from;
    while (colon < line.size && line.at(colon) != ':') {
      colon++;
    }
    int value = Math.min(colon + 1, line.size);
    if (value < line.size && line.at(value) == ' ') {
      value++;
    }
    switch (line.text(from, colon)) {
      case "data":
        data.add(line.bytes, value, line.size);
        data.add(LF, 0, 1);
        break;
      case "event":
        name = line.text(value, line.size);
        break;
      case "id":
        String text = line.text(value, line.size);
        if (text.indexOf('\0') < 0) {
          id = text;
        }
        break;
      case "retry":
        retry(line.text(value, line.size));
        break;
      default:
        break;
    }
  }

  private void retry(String text) {
    for (int i = 0; i < text.length(); i++) {
      if (text.charAt(i) < '0' || text.charAt(i) > '9') {
        return;
      }
    }
    if (!text.isEmpty() && text.length() < 12 && Long.parseLong(text) < 1L << 31) {
      retryMs = Long.parseLong(text);
    }
  }

  private static final byte[] LF = {'\n'};

  /** Bytes that grow. */
  private static final class Bytes {
    private static final int KEPT = 64 << 10;
    private byte[] bytes = new byte[512];
    private int size;

    void add(byte[] from, int begin, int end) {
      int need = size + end - begin;
      if (need > bytes.length) {
        bytes = java.util.Arrays.copyOf(bytes, Math.max(need, 2 * bytes.length));
      }
      System.arraycopy(from, begin, bytes, size, end - begin);
      size = need;
    }

    int at(int i) {
      return bytes[i] & 0xFF;
    }

    String text(int begin, int end) {
      return new String(bytes, begin, end - begin, StandardCharsets.UTF_8);
    }

    /** A large event's memory is let go of. */
    void clear() {
      size = 0;
      if (bytes.length > KEPT) {
        bytes = new byte[512];
      }
    }
  }
}
