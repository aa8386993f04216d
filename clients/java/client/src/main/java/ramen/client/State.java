package ramen.client;

import java.util.Locale;

/** Where a device is. One that is online and opens its next stream beside is online. C 2 */
public enum State {
  /** Not started, closed by the app, or ended for good. */
  STOPPED,
  /** A stream is being opened, and none is live. */
  CONNECTING,
  /** A stream is live. */
  ONLINE,
  /** A timer runs until the next opening. */
  WAITING,
  /** The platform says that there is no network. */
  OFFLINE;

  /** In lower case. */
  public String text() {
    return name().toLowerCase(Locale.ROOT);
  }
}
