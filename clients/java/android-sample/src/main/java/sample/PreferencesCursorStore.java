package sample;

import android.content.Context;
import android.content.SharedPreferences;
import ramen.client.CursorStore;

/** A device's place in SharedPreferences. The place belongs to server, user and device, so it is keyed by them. C 8.5 */
public final class PreferencesCursorStore implements CursorStore {
  private final SharedPreferences preferences;
  private final String key;

  public PreferencesCursorStore(Context context, String server, String user, String device) {
    this.preferences = context.getApplicationContext().getSharedPreferences("ramen", Context.MODE_PRIVATE);
    this.key = "cursor " + server + " " + user + " " + device;
  }

  @Override
  public String load() {
    return preferences.getString(key, null);
  }

  /** apply, not commit: one that is lost costs duplicates, never a message. */
  @Override
  public void save(String cursor) {
    preferences.edit().putString(key, cursor).apply();
  }
}
