package ramen.client;

/**
 * What the app is told. Methods are called one at a time and in order; they must not block, since the device does nothing else meanwhile. One that throws
 * changes nothing. On Android, hand on to the main thread what touches views. C 13.1
 */
public interface RamenListener {
  /** Each change of state, once. C 2.6 */
  default void onState(StateChange change) {}

  /** Each hello. */
  default void onHello(Hello hello) {}

  /** Messages may have gone, of which {@code expired} are known to have expired unseen: load the app's state anew. C 8.6 */
  default void onReload(long expired) {}

  /** The server refused the token: another is wanted. C 9.3 */
  default void onTokenWanted() {}

  /** Something of the app's failed: a {@code handler}, {@code store} or {@code listener}. */
  default void onError(String of, Throwable error) {}

  /** The device has ended: {@code closed} by the app, else the server's reason. */
  default void onClosed(String reason, String detail) {}
}
