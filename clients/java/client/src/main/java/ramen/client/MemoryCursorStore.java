package ramen.client;

/** A place that lives as long as the process: for a device that is made anew, and for tests. */
public final class MemoryCursorStore implements CursorStore {
  private volatile String cursor = "";

  @Override
  public String load() {
    return cursor;
  }

  @Override
  public void save(String cursor) {
    this.cursor = cursor;
  }
}
