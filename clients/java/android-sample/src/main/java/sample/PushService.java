package sample;

import android.app.Application;
import android.os.Build;
import android.os.Handler;
import android.os.Looper;
import android.util.Log;
import java.util.Locale;
import ramen.client.DeviceContext;
import ramen.client.Message;
import ramen.client.RamenDevice;
import ramen.client.RamenListener;
import ramen.client.StateChange;
import ramen.client.TokenSource;

/** One device for the app's process. Start it when the app comes to the front or the user signs in; stop it when the user signs out. */
public final class PushService {
  /** What the app does with it, called in the main thread. */
  public interface Screen {
    void show(Message message);

    void reload();
  }

  private final Handler main = new Handler(Looper.getMainLooper());
  private final RamenDevice device;

  public PushService(Application app, String server, String user, String deviceId, String version, TokenSource tokens, Inbox inbox, Screen screen) {
    DeviceContext context =
        DeviceContext.builder()
            .app(app.getPackageName())
            .appVersion(version)
            .os("android")
            .osVersion(Build.VERSION.RELEASE)
            .model(Build.MODEL)
            .locale(Locale.getDefault().toLanguageTag())
            .build();
    device =
        RamenDevice.builder(server)
            .device(deviceId)
            .token(tokens) // in a thread of its own: it may ask the app's backend
            .context(context)
            .cursorStore(new PreferencesCursorStore(app, server, user, deviceId))
            .platform(new AndroidPlatform(app))
            .handler(
                message -> {
                  inbox.insert(message); // in a thread of its own: Room or SQLite may be asked here. Once it has returned, the message is acked
                  main.post(() -> screen.show(message));
                })
            .listener(
                new RamenListener() {
                  @Override
                  public void onState(StateChange change) {
                    Log.d("push", change.toString());
                  }

                  @Override
                  public void onReload(long expired) {
                    main.post(screen::reload);
                  }
                })
            .build();
  }

  /** Where messages are kept, by their ids: one may come again. */
  public interface Inbox {
    void insert(Message message) throws Exception;
  }

  public void start() {
    device.start();
  }

  /** Returns at once, as the main thread needs it. */
  public void stop() {
    device.stop();
  }

  /** The user pulled to refresh while there was no connection. */
  public void tryNow() {
    device.reconnect();
  }
}
