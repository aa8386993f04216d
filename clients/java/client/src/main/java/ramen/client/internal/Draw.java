package ramen.client.internal;

import java.util.concurrent.ThreadLocalRandom;

/** Draws random pauses. */
@FunctionalInterface
public interface Draw {
  /** An even draw. */
  Draw EVEN = bound -> ThreadLocalRandom.current().nextLong(bound + 1);

  /** A number from 0 to bound, in ms. */
  long upTo(long bound);
}
