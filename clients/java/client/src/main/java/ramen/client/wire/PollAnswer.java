package ramen.client.wire;

import java.util.ArrayList;
import java.util.List;
import ramen.client.Message;

/** The answer of a poll. SPEC 5.6.2 */
public final class PollAnswer {
  public boolean resumed;
  public String stream = "";
  public long expired;
  public String cursor = "";
  public final List<Message> messages = new ArrayList<>();

  /** null: there is none. */
  public Frame.GoAway goaway;
}
