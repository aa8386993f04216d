package ramen.client.wire;

import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.Set;

/** How a stream ended: the table of C 6.1, read. */
public final class End {
  /** The most that is waited for a Retry-After, in ms. C 7.3 */
  static final long MAX_RETRY_AFTER = 60_000;

  /** The most that a goaway's reconnect_ms may ask for, in ms. */
  static final long MAX_RECONNECT = 300_000;

  /** The reasons that this version knows. Any other counts as none. C 4.1 */
  public static final Set<String> REASONS =
      Collections.unmodifiableSet(
          new HashSet<>(
              Arrays.asList(
                  "drain",
                  "rebalance",
                  "superseded",
                  "unauthenticated",
                  "permission_denied",
                  "invalid_argument",
                  "resource_exhausted",
                  "ack_timeout",
                  "too_slow",
                  "unavailable",
                  "disconnected",
                  "internal")));

  /** Who ended the stream. */
  public enum By {
    /** Nobody said anything that counts: the network, a proxy, a server that is not RAMEN. */
    NETWORK,
    /** An answer of the server's: C 1.4. */
    SERVER,
    SILENCE,
    /** The handler failed, a push was missing, an ack was refused: it says nothing of the transport. */
    DEVICE,
    /** The app had no token. */
    TOKEN,
    /** The device stops, or has replaced the stream. */
    STOP
  }

  public final By by;

  /** One of REASONS; empty where nothing known was said. */
  public final String reason;

  public final String detail;

  /** What the server asks to wait before the pause of C 7.1, in ms. */
  public final long retryAfterMs;

  /** A goaway's reconnect_ms: the next stream's moment lies within it. */
  public final long withinMs;

  /** The opening may have reached the server. C 6.3 */
  public final boolean reached;

  private End(By by, String reason, String detail, long retryAfterMs, long withinMs, boolean reached) {
    this.by = by;
    this.reason = reason;
    this.detail = detail;
    this.retryAfterMs = retryAfterMs;
    this.withinMs = withinMs;
    this.reached = reached;
  }

  /** An end without a reason of the server's. */
  public static End of(By by, String detail) {
    return new End(by, "", detail, 0, 0, true);
  }

  /** An end that nobody announced. */
  public static End cut(String detail, boolean reached) {
    return new End(By.NETWORK, "", detail, 0, 0, reached);
  }

  /** The app had no token: nothing was sent. */
  public static End noToken(String detail) {
    return new End(By.TOKEN, "", detail, 0, 0, false);
  }

  /** An end with a reason of the server's; an unknown one is none. Times are in ms. */
  public static End said(String reason, String detail, long retryAfterMs, long withinMs) {
    if (!REASONS.contains(reason)) {
      return cut(detail.isEmpty() ? reason : reason + ": " + detail, true);
    }
    return new End(By.SERVER, reason, detail, Math.min(retryAfterMs, MAX_RETRY_AFTER), Math.min(withinMs, MAX_RECONNECT), true);
  }

  /** The end of a WebSocket. Codes from 1000 to 1015 come from anybody. SPEC 6.3 */
  public static End ofCloseCode(int code, String text) {
    switch (code) {
      case 4400:
        return said("invalid_argument", text, 0, 0);
      case 4401:
        return said("unauthenticated", text, 0, 0);
      case 4403:
        return said("permission_denied", text, 0, 0);
      case 4404:
        return said("disconnected", text, 0, 0);
      case 4409:
        return said("superseded", text, 0, 0);
      case 4508:
        return said("ack_timeout", text, 0, 0);
      case 4513:
        return said("too_slow", text, 0, 0);
      case 4529:
        return said("resource_exhausted", text, 0, 0);
      default:
        break;
    }
    String detail = "close code " + code + (text.isEmpty() ? "" : ": " + text);
    if (code >= 4400 && code < 4500) { // SPEC 6.3.15: do not come back as you are
      return said("disconnected", detail, 0, 0);
    }
    if (code >= 4500 && code < 4600) {
      return said("unavailable", detail, 0, 0);
    }
    return cut(detail, true);
  }

  /** The end of a gRPC stream by the name of its status. foreign: the status was made from what somebody else answered. SPEC 7.2 */
  public static End ofGrpcStatus(String name, String text, boolean foreign) {
    String reason = foreign ? "" : reasonOfGrpc(name);
    if (reason.isEmpty()) {
      return cut(text.isEmpty() ? name : name + ": " + text, true);
    }
    return said(reason, text.startsWith(reason + ": ") ? text.substring(reason.length() + 2) : text, 0, 0);
  }

  private static String reasonOfGrpc(String name) {
    switch (name) {
      case "ABORTED":
        return "superseded";
      case "UNAUTHENTICATED":
        return "unauthenticated";
      case "PERMISSION_DENIED":
        return "permission_denied";
      case "INVALID_ARGUMENT":
        return "invalid_argument";
      case "RESOURCE_EXHAUSTED":
        return "resource_exhausted";
      default:
        return "";
    }
  }

  /** The answer to a refused request. code is that of SPEC 4.4.1's body, empty without one. C 6.1, 6.4 */
  public static End ofHttpError(int status, String code, String message, long retryAfterMs) {
    if (status == 404 || status == 405) {
      return new End(By.NETWORK, "", "http status " + status + (message.isEmpty() ? "" : ": " + message), retryAfterMs, 0, true);
    }
    if (!code.isEmpty()) {
      String reason = code.equals("too_large") ? "invalid_argument" : code;
      return said(REASONS.contains(reason) ? reason : "internal", message, retryAfterMs, 0);
    }
    if (status == 401) {
      return said("unauthenticated", "http status 401", 0, 0);
    }
    return new End(By.NETWORK, "", "http status " + status, retryAfterMs, 0, true);
  }

  /** Retry-After in ms, 60 s at most; 0 where there is none, or a date. */
  public static long readRetryAfter(String value) {
    String text = value == null ? "" : value.trim();
    if (text.isEmpty() || text.length() > 9) {
      return 0;
    }
    for (int i = 0; i < text.length(); i++) {
      if (text.charAt(i) < '0' || text.charAt(i) > '9') {
        return 0;
      }
    }
    return Math.min(Long.parseLong(text) * 1000, MAX_RETRY_AFTER);
  }

  /** What the device does after it. */
  public enum Next {
    FINAL,
    /** C 7. */
    PAUSE,
    /** C 9.3: a pause, and another token. */
    TOKEN
  }

  /** What follows. opening: the stream had not said hello. C 6.1 */
  public Next next(boolean opening, boolean hasTokenSource) {
    switch (reason) {
      case "unauthenticated":
      case "permission_denied":
        return hasTokenSource ? Next.TOKEN : Next.FINAL;
      case "superseded":
      case "disconnected":
        return Next.FINAL;
      case "invalid_argument":
        return opening ? Next.FINAL : Next.PAUSE;
      default:
        return Next.PAUSE;
    }
  }

  /** Whether it may be the transport's fault. C 11.2 */
  public boolean countsForTransport() {
    return by == By.NETWORK || by == By.SILENCE;
  }

  /** Whether the server asks to be left for another. */
  public boolean moving() {
    return moving(reason);
  }

  /** Whether a goaway of this reason is a wish to be replaced. */
  public static boolean moving(String reason) {
    return reason.equals("drain") || reason.equals("rebalance");
  }

  @Override
  public String toString() {
    String said = reason.isEmpty() ? by.name().toLowerCase(java.util.Locale.ROOT) : reason;
    return detail.isEmpty() ? said : said + ": " + detail;
  }
}
