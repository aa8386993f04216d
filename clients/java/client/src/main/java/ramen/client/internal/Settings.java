package ramen.client.internal;

import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import ramen.client.DeviceContext;
import ramen.client.Transport;
import ramen.client.wire.Conn;

/** A device's settings, checked. Times are in ms. RamenDevice.Builder says what each is for. */
public final class Settings {
  /** Makes the dialer of a transport. */
  public interface DialerMaker {
    Conn.Dialer make(Loop loop);
  }

  public String user = "";
  public String device = "";
  public DeviceContext context = DeviceContext.EMPTY;
  public List<Transport> transports = Collections.emptyList();
  public final Map<Transport, DialerMaker> dialers = new EnumMap<>(Transport.class);
  public int window;
  public long heartbeatMs;
  public long heartbeatWhenSavingMs;
  public long connectTimeoutMs = 10_000;
  public int fallbackAfter = 2;
  public long preferAfterMs = 300_000;
}
