package ramen.client;

import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;

/** Counters since the device was made: a copy, taken at one moment. C 13.2 */
public final class Stats {
  /** What is counted. */
  public enum Count {
    ATTEMPTS,
    STREAMS,
    RESUMED,
    EXPIRED,
    PUSHES,
    REDELIVERED,
    DUPLICATES,
    HANDLED,
    HANDLER_ERRORS,
    ACKS,
    HEARTBEATS,
    GOAWAYS,
    SILENCES,
    GAPS,
    FALLBACKS
  }

  private final long[] counts;

  /** Takes a copy of counts, by the ordinals of Count. */
  public Stats(long[] counts) {
    this.counts = counts.clone();
  }

  public long get(Count count) {
    return counts[count.ordinal()];
  }

  /** All of them. */
  public Map<Count, Long> all() {
    Map<Count, Long> all = new EnumMap<>(Count.class);
    for (Count c : Count.values()) {
      all.put(c, get(c));
    }
    return all;
  }

  @Override
  public String toString() {
    StringBuilder text = new StringBuilder();
    all().forEach((c, n) -> text.append(text.length() == 0 ? "" : " ").append(c.name().toLowerCase(Locale.ROOT)).append('=').append(n));
    return text.toString();
  }
}
