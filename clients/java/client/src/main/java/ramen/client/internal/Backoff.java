package ramen.client.internal;

/** Draws pauses by full-jitter exponential backoff: each anew from a bound that doubles. C 7.1, SPEC 2.13.1 */
public final class Backoff {
  /** The bound of the first pause, in ms. */
  static final long FIRST = 1_000;

  /** The bound of any, in ms. */
  static final long MOST = 30_000;

  /** A stream that has lived so long, in ms, starts the bound anew. C 7.2 */
  static final long STABLE_AFTER = 30_000;

  private final Draw draw;
  private final long first;
  private final long most;
  private int failures;

  public Backoff(Draw draw, long first, long most) {
    this.draw = draw;
    this.first = first;
    this.most = most;
  }

  static Backoff ofOpenings(Draw draw) {
    return new Backoff(draw, FIRST, MOST);
  }

  /** The pause before the next attempt, in ms. */
  public long next() {
    long bound = Math.min(first << Math.min(failures, 16), most);
    failures++;
    return draw.upTo(bound);
  }

  /** A random moment within span. SPEC 2.12.6 */
  long within(long span) {
    return span > 0 ? draw.upTo(span) : 0;
  }

  public void reset() {
    failures = 0;
  }
}
