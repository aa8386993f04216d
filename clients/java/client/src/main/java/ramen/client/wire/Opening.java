package ramen.client.wire;

import ramen.client.DeviceContext;

/** What a device says when it opens a stream. Empty and 0: it is left out. SPEC 4.2, Open of 7.1 */
public final class Opening {
  public final String user;
  public final String device;
  public final String cursor;
  public final DeviceContext context;
  public final String token;
  public final int window;
  public final int heartbeatMs;

  public Opening(String user, String device, String cursor, DeviceContext context, String token, int window, int heartbeatMs) {
    this.user = user;
    this.device = device;
    this.cursor = cursor;
    this.context = context;
    this.token = token;
    this.window = window;
    this.heartbeatMs = heartbeatMs;
  }

  Opening withCursor(String cursor) {
    return new Opening(user, device, cursor, context, token, window, heartbeatMs);
  }

  Opening with(String token, DeviceContext context) {
    return new Opening(user, device, cursor, context, token, window, heartbeatMs);
  }
}
