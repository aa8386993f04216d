package ramen.client.internal;

import java.util.function.Consumer;
import java.util.logging.Level;
import java.util.logging.Logger;
import ramen.client.Hello;
import ramen.client.RamenListener;
import ramen.client.State;
import ramen.client.StateChange;

/** Calls the app's listener, in the loop. One that throws changes nothing. C 2.7 */
public final class Listeners {
  static final Logger LOG = Logger.getLogger("ramen.client");
  private final RamenListener listener;
  private volatile StateChange current = new StateChange(State.STOPPED, null, 0, "");

  public Listeners(RamenListener listener) {
    this.listener = listener;
  }

  public StateChange current() {
    return current;
  }

  /** Tells a change, unless it names the state and cause of the last one. C 2.6 */
  void state(StateChange change) {
    StateChange last = current;
    current = change;
    if (last.state() != change.state() || !last.cause().equals(change.cause())) {
      tell(l -> l.onState(change));
    }
  }

  void hello(Hello hello) {
    tell(l -> l.onHello(hello));
  }

  void reload(long expired) {
    tell(l -> l.onReload(expired));
  }

  void tokenWanted() {
    tell(RamenListener::onTokenWanted);
  }

  void error(String of, Throwable error) {
    LOG.log(Level.FINE, "{0} failed: {1}", new Object[] {of, error.getClass().getName()});
    try {
      listener.onError(of, error);
    } catch (RuntimeException e) {
      LOG.log(Level.WARNING, "the listener of errors failed", e);
    }
  }

  void closed(String reason, String detail) {
    tell(l -> l.onClosed(reason, detail));
  }

  private void tell(Consumer<RamenListener> what) {
    try {
      what.accept(listener);
    } catch (RuntimeException e) {
      error("listener", e);
    }
  }
}
