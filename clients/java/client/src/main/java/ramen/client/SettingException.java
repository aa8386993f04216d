package ramen.client;

/** A setting is wrong; the text names it, what was given and what would be right. C 13.3 */
public final class SettingException extends IllegalArgumentException {
  private static final long serialVersionUID = 1;
  private final String setting;

  public SettingException(String setting, Object given, String right) {
    super(setting + " is " + (given instanceof CharSequence ? "\"" + given + "\"" : given) + ": " + right);
    this.setting = setting;
  }

  /** The name of the setting. */
  public String setting() {
    return setting;
  }
}
