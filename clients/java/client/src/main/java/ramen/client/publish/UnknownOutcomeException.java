package ramen.client.publish;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import ramen.client.RamenException;

/** Time ran out: the messages of these ids may or may not be stored. Publish them again under the same ids. C 14.6 */
public final class UnknownOutcomeException extends RamenException {
  private static final long serialVersionUID = 1;
  private final ArrayList<String> ids;
  private final transient List<Result> results;

  UnknownOutcomeException(List<String> ids, String cause, List<Result> results) {
    super("no answer in time for " + ids.size() + " message(s), among them " + (ids.isEmpty() ? "-" : ids.get(0)) + ": " + cause);
    this.ids = new ArrayList<>(ids);
    this.results = results;
  }

  public List<String> ids() {
    return Collections.unmodifiableList(ids);
  }

  /** The results of all messages of the call, those of ids among them. */
  public List<Result> results() {
    return results == null ? Collections.emptyList() : results;
  }
}
