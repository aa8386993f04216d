package sample;

import android.content.BroadcastReceiver;
import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.net.ConnectivityManager;
import android.net.Network;
import android.os.PowerManager;
import ramen.client.Platform;

/** Tells a device of the default network, and to save the battery while the system does or the screen is off. API 26 */
public final class AndroidPlatform implements Platform {
  private final Context context;
  private final ConnectivityManager connectivity;
  private final PowerManager power;
  private ConnectivityManager.NetworkCallback networkCallback;
  private BroadcastReceiver powerReceiver;

  public AndroidPlatform(Context context) {
    this.context = context.getApplicationContext();
    this.connectivity = this.context.getSystemService(ConnectivityManager.class);
    this.power = this.context.getSystemService(PowerManager.class);
  }

  @Override
  public void attach(Events events) {
    networkCallback =
        new ConnectivityManager.NetworkCallback() {
          private Network last;

          @Override
          public void onAvailable(Network network) {
            boolean changed = last != null && !network.equals(last);
            last = network;
            events.network(true, changed);
          }

          @Override
          public void onLost(Network network) {
            if (network.equals(last)) { // else another has its place already
              events.network(false, false);
            }
          }
        };
    connectivity.registerDefaultNetworkCallback(networkCallback);
    if (connectivity.getActiveNetwork() == null) {
      events.network(false, false); // the callback says nothing of a network that never was
    }
    powerReceiver =
        new BroadcastReceiver() {
          @Override
          public void onReceive(Context context, Intent intent) {
            events.saving(saving());
          }
        };
    IntentFilter filter = new IntentFilter(PowerManager.ACTION_POWER_SAVE_MODE_CHANGED);
    filter.addAction(Intent.ACTION_SCREEN_ON);
    filter.addAction(Intent.ACTION_SCREEN_OFF);
    context.registerReceiver(powerReceiver, filter); // broadcasts of the system: exported or not makes no difference
    events.saving(saving());
  }

  private boolean saving() {
    return power.isPowerSaveMode() || !power.isInteractive();
  }

  @Override
  public void detach() {
    connectivity.unregisterNetworkCallback(networkCallback);
    context.unregisterReceiver(powerReceiver);
  }
}
