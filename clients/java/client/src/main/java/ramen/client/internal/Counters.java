package ramen.client.internal;

import java.util.concurrent.atomic.AtomicLongArray;
import ramen.client.Stats;
import ramen.client.Stats.Count;

/** Counters that are read from any thread. */
public final class Counters {
  private final AtomicLongArray counts = new AtomicLongArray(Count.values().length);

  void add(Count count, long n) {
    counts.addAndGet(count.ordinal(), n);
  }

  void add(Count count) {
    add(count, 1);
  }

  public Stats stats() {
    long[] copy = new long[counts.length()];
    for (int i = 0; i < copy.length; i++) {
      copy[i] = counts.get(i);
    }
    return new Stats(copy);
  }
}
