package ramen.client.publish;

/** What became of one message for one user. */
public final class Result {
  /** SPEC 8.3.3, and UNKNOWN: no answer came in time. */
  public enum Status {
    ACCEPTED,
    DUPLICATE,
    REJECTED,
    UNKNOWN
  }

  private final String id;
  private final String user;
  private final Status status;
  private final int devices;
  private final PublishException error;

  Result(String id, String user, Status status, int devices, PublishException error) {
    this.id = id;
    this.user = user;
    this.status = status;
    this.devices = devices;
    this.error = error;
  }

  public String id() {
    return id;
  }

  public String user() {
    return user;
  }

  public Status status() {
    return status;
  }

  /** The known devices that it is for. */
  public int devices() {
    return devices;
  }

  /** Why it was rejected; else null. */
  public PublishException error() {
    return error;
  }

  @Override
  public String toString() {
    return status.name().toLowerCase(java.util.Locale.ROOT) + " " + id + (error == null ? "" : ": " + error.getMessage());
  }
}
