package ramen.client;

/**
 * Keeps one device's place across restarts: the cursor of the last push that it has processed, or of a hello before one. A place that was lost, or is
 * old, costs duplicates and never a message: keep it as cheaply as you like. Methods may block; they are called one at a time, never in the thread that
 * reads. C 8
 */
public interface CursorStore {
  /** The cursor that was saved last; null or empty: there is none. */
  String load() throws Exception;

  /** Called when nothing is left to process, and at the latest every 64 messages and every 5 s. */
  void save(String cursor) throws Exception;
}
