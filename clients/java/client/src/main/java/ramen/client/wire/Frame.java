package ramen.client.wire;

import java.util.Objects;
import ramen.client.Message;

/** A frame of a server's as plain values, whatever the encoding. Nobody changes one once it is decoded. SPEC 2, 5, 7 */
public abstract class Frame {
  /** The longest frame, event or answer that is taken from a server, in bytes. C 4.9 */
  public static final int MAX = 16 << 20;

  /** How much of an error's body is read, in bytes. C 3.5, 4.9 */
  public static final int MAX_ERROR_BODY = 64 << 10;

  private Frame() {}

  /** SPEC 2.2. */
  public static final class Hello extends Frame {
    public boolean resumed;
    public String stream = "";
    public long seq;
    public long heartbeatMs;
    public long timeoutMs;
    public long ackMs;
    public long timeMs;
    public long expired;
    public String cursor = "";

    @Override
    public String toString() {
      return "hello " + resumed + " " + stream + " " + seq + " " + heartbeatMs + " " + timeoutMs + " " + ackMs + " " + timeMs + " " + expired + " " + cursor;
    }
  }

  /** One message. Within a poll's answer only the last push has a cursor; elsewhere each has. */
  public static final class Push extends Frame {
    public final Message message;
    public final String cursor;

    public Push(Message message, String cursor) {
      this.message = Objects.requireNonNull(message);
      this.cursor = Objects.requireNonNull(cursor);
    }
  }

  /** SPEC 2.8. timeMs is sent over gRPC alone. */
  public static final class Heartbeat extends Frame {
    public final long timeMs;

    public Heartbeat(long timeMs) {
      this.timeMs = timeMs;
    }

    @Override
    public String toString() {
      return "heartbeat " + timeMs;
    }
  }

  /** SPEC 5.3. */
  public static final class GoAway extends Frame {
    public String reason = "";
    public long reconnectMs;
    public String detail = "";

    /** The line {@code retry:} of a refused SSE stream (SPEC 5.4.1); 0 elsewhere. */
    public long retryMs;

    @Override
    public String toString() {
      return "goaway " + reason + " " + reconnectMs + " " + detail;
    }
  }
}
