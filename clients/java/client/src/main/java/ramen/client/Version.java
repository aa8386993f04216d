package ramen.client;

/** The version of this library, as devices tell it to the server (C 13.4). A test holds it to the pom. */
public final class Version {
  public static final String VERSION = "1.0.0";

  private Version() {}
}
