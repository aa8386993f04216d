package ramen.client;

import java.util.Locale;

/** The lane of a message. SPEC 2.5 */
public enum Priority {
  HIGH,
  MEDIUM,
  LOW;

  /** As it stands in JSON: high, medium or low. */
  public String text() {
    return name().toLowerCase(Locale.ROOT);
  }

  /** The priority of a word; MEDIUM for one that a newer server may have made up (C 4.1). */
  public static Priority of(String text) {
    switch (text) {
      case "high":
        return HIGH;
      case "low":
        return LOW;
      default:
        return MEDIUM;
    }
  }
}
