package ramen.client.internal;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.logging.Level;
import ramen.client.DeviceContext;
import ramen.client.Hello;
import ramen.client.State;
import ramen.client.StateChange;
import ramen.client.Stats.Count;
import ramen.client.Transport;
import ramen.client.wire.Conn;
import ramen.client.wire.End;
import ramen.client.wire.Frame;
import ramen.client.wire.Opening;

/** The state machine that keeps one device connected: it opens, replaces and ends streams. All of it runs in the loop. C 2, 3.7, 6, 7, 10, 11 */
final class Keeper {
  /** Streams that the server was slow to end. C 1.1 */
  private static final int MOST_LEAVING = 2;

  /** How long an opening that was never answered may still reach the server, and supersede its successor. C 6.3 */
  private static final long UNCLEAR_FOR_MS = 30_000;

  /** When the network is back, the next opening lies within it. C 10.2 */
  private static final long SOON_MS = 1_000;

  /** A battery state has to last so long before a stream is opened anew for its heartbeat. */
  private static final long SAVING_AFTER_MS = 30_000;

  final Loop loop;
  final Settings settings;
  final Tokens tokens;
  final Place place;
  final Inbox inbox;
  final Counters counters;
  final Draw draw;
  private final Listeners listeners;
  private final Consumer<End> onFinal;
  private final Map<Transport, Conn.Dialer> dialers = new EnumMap<>(Transport.class);
  private final Choice choice;
  private final Backoff backoff;
  private final Alarm reopen;
  private final Alarm trial;
  private final Alarm savingChange;
  private final List<Stream> leaving = new ArrayList<>();
  private Stream live;
  private Stream opening;
  private DeviceContext context;
  private long unclearUntil = Long.MIN_VALUE;
  private int deaths; // by silence since the last push, where only whole frames are seen
  private boolean network = true;
  private boolean saving;
  private boolean held; // an opening waits for the network
  private boolean closing;
  private boolean finalEnd;

  Keeper(Loop loop, Settings settings, Tokens tokens, Place place, Inbox inbox, Counters counters, Listeners listeners, Draw draw, Consumer<End> onFinal) {
    this.loop = loop;
    this.settings = settings;
    this.tokens = tokens;
    this.place = place;
    this.inbox = inbox;
    this.counters = counters;
    this.listeners = listeners;
    this.draw = draw;
    this.onFinal = onFinal;
    this.context = settings.context;
    this.choice = new Choice(settings.transports, settings.fallbackAfter, settings.preferAfterMs);
    this.backoff = Backoff.ofOpenings(draw);
    this.reopen = new Alarm(loop, this::openNext);
    this.trial = new Alarm(loop, this::tryPreferred);
    this.savingChange = new Alarm(loop, this::changeHeartbeat);
    settings.dialers.forEach((transport, maker) -> dialers.put(transport, maker.make(loop)));
  }

  // What the device asks for.

  void begin() {
    reopen.set(0);
  }

  /** Ends a pause. C 7.6 */
  void reconnect() {
    if (reopen.isSet()) {
      reopen.set(0);
    }
  }

  /** What the platform says of the network. C 10 */
  void network(boolean online, boolean changed) {
    boolean was = network;
    network = online;
    if (closing || finalEnd) {
      return;
    }
    if (!online) {
      hold();
      return;
    }
    if (was && !changed) {
      return;
    }
    if (live != null) {
      live.hurry();
    }
    if (held || (reopen.isSet() && live == null)) {
      held = false;
      long delay = draw.upTo(SOON_MS);
      reopen.set(delay);
      waiting(delay, was ? "another network" : "the network is back");
    }
  }

  /** Nothing is opened without a network. C 2.5 */
  private void hold() {
    if (reopen.isSet()) {
      reopen.stop();
      held = true;
    }
    if (held && live == null && opening == null) {
      listeners.state(new StateChange(State.OFFLINE, null, 0, "no network"));
    }
  }

  /** Whether to save the battery. The live stream is replaced once that has lasted; it costs an opening, which a flicker of the screen is not worth. */
  void saving(boolean saving) {
    this.saving = saving;
    if (live == null || live.heartbeatMs == heartbeatMs() || live.transport == Transport.POLL) {
      savingChange.stop();
    } else if (!savingChange.isSet()) {
      savingChange.set(SAVING_AFTER_MS);
    }
  }

  private void changeHeartbeat() {
    if (live != null && live.heartbeatMs != heartbeatMs() && network) {
      successor(live);
    }
  }

  private long heartbeatMs() {
    return saving && settings.heartbeatWhenSavingMs > 0 ? settings.heartbeatWhenSavingMs : settings.heartbeatMs;
  }

  DeviceContext context() {
    return context;
  }

  void setContext(DeviceContext context) {
    this.context = context;
    if (live != null) {
      live.refresh(true);
    }
  }

  Stream live() {
    return live;
  }

  /** Ends all streams. Nothing is told any more. */
  void close() {
    stopOpening();
    for (Stream s : streams()) {
      s.letGo(Stream.STOPPED);
    }
  }

  /** Those that have not ended. */
  List<Stream> streams() {
    List<Stream> all = new ArrayList<>(leaving);
    if (live != null) {
      all.add(live);
    }
    if (opening != null) {
      all.add(opening);
    }
    return all;
  }

  /** From now on the live stream lives on at most. */
  void stopOpening() {
    closing = true;
    reopen.stop();
    trial.stop();
    savingChange.stop();
    if (opening != null) {
      opening.letGo(Stream.STOPPED);
    }
  }

  // What streams ask for.

  Opening opening(String token) {
    return new Opening(settings.user, settings.device, place.cursor(), context, token, settings.window, (int) heartbeatMs());
  }

  Conn.Dialer dialer(Transport transport) {
    return dialers.get(transport);
  }

  long patience(long silence) {
    return Watchdog.patience(silence, deaths);
  }

  /** A push has come. */
  void trust() {
    deaths = 0;
  }

  // Opening.

  private void openNext() {
    if (network) {
      open(choice.current(), false);
    } else {
      held = true;
      hold();
    }
  }

  private void tryPreferred() {
    if (opening == null && !reopen.isSet() && live != null && network) {
      open(choice.all.get(0), true);
    } else if (live != null && choice.nextTrial(loop.now()) >= 0) {
      trial.set(SOON_MS);
    }
  }

  /** Begins a stream. The live one, if any, is read on, but a poll makes way. C 3.7, 3.8 */
  private void open(Transport transport, boolean isTrial) {
    if (opening != null || closing) {
      return;
    }
    if (live != null && live.transport == Transport.POLL) {
      dropPoll();
    }
    counters.add(Count.ATTEMPTS);
    opening = new Stream(this, transport, isTrial);
    if (live != null) {
      live.succeeded = true;
    } else {
      listeners.state(new StateChange(State.CONNECTING, transport, 0, ""));
    }
    if (opening != null) { // the listener may have closed the device
      opening.open();
    }
  }

  /** Its next poll would be the newer stream. Its end is heard of later. */
  private void dropPoll() {
    Stream poll = live;
    live = null;
    leaving.add(poll);
    poll.letGo(Stream.STOPPED);
    unclearUntil = loop.now() + UNCLEAR_FOR_MS;
  }

  void hello(Stream s, Frame.Hello frame) {
    if (closing || leaving.contains(s)) {
      return;
    }
    boolean gavePlace = s.gavePlace || s == live;
    if (s == opening) {
      opened(s);
      Listeners.LOG.log(Level.FINE, "stream is open: transport {0}, stream {1}, resumed {2}", new Object[] {s.transport, frame.stream, frame.resumed});
      listeners.state(new StateChange(State.ONLINE, s.transport, 0, ""));
    }
    counters.add(Count.RESUMED, frame.resumed ? 1 : 0);
    counters.add(Count.EXPIRED, frame.expired);
    listeners.hello(new Hello(frame.resumed, frame.expired, frame.stream, s.transport, frame.timeMs));
    if (frame.expired > 0 || (gavePlace && !frame.resumed)) { // C 8.6
      listeners.reload(frame.expired);
    }
  }

  private void opened(Stream s) {
    opening = null;
    reopen.stop();
    Stream old = live;
    live = s;
    if (old != null) {
      if (lived(old) >= Backoff.STABLE_AFTER) {
        backoff.reset();
      }
      leave(old);
    }
    if (s.trial) {
      choice.tried(true, loop.now());
    }
    armTrial();
    if (!s.context.equals(context)) {
      s.refresh(true);
    }
    saving(saving);
    counters.add(Count.STREAMS);
  }

  private void leave(Stream s) {
    s.leave();
    leaving.add(s);
    if (leaving.size() > MOST_LEAVING) {
      leaving.remove(0).letGo(Stream.STOPPED);
    }
  }

  private void armTrial() {
    long pause = choice.nextTrial(loop.now());
    if (pause < 0) {
      trial.stop();
    } else {
      trial.set(pause);
    }
  }

  // Replacing.

  /** Sets the moment of the next stream. C 6.1, 7.4 */
  void goaway(Stream s, long within) {
    if (s != live || s.away || closing) {
      return;
    }
    s.away = true;
    if (opening != null) {
      return; // a trial: it will do
    }
    long delay = backoff.within(within);
    if (within == 0 && lived(s) < Backoff.STABLE_AFTER) {
      delay = backoff.next(); // else a server that says so each time would be asked without a pause
    }
    reopen.set(delay);
  }

  /** The stream has a new token, context or heartbeat, and no way to hand it over. C 9.2 */
  void successor(Stream s) {
    if (s == live && opening == null && !closing) {
      s.away = true;
      reopen.set(0);
    }
  }

  // Ends.

  /** Decides what follows a stream's end. */
  void ended(Stream s, End end) {
    boolean wasOpening = s == opening;
    if (wasOpening) {
      opening = null;
    } else if (s == live) {
      live = null;
      trial.stop();
    } else { // it was replaced: whatever ended it, superseded too, is of no interest. C 6.3
      leaving.remove(s);
      return;
    }
    Listeners.LOG.log(Level.FINE, "stream {0}: transport {1}, {2}", new Object[] {wasOpening ? "not opened" : "ended", s.transport, end});
    if (closing || finalEnd) {
      return;
    }
    if (end.by == End.By.SILENCE) {
      counters.add(Count.SILENCES);
    }
    if (end.reason.equals("superseded") && (s.succeeded || loop.now() < unclearUntil)) {
      end = End.cut("superseded by an opening of this device's own", true);
    }
    End.Next step = end.next(wasOpening, tokens.hasSource());
    if (step == End.Next.FINAL) {
      finalEnd = true;
      onFinal.accept(end);
      return;
    }
    if (step == End.Next.TOKEN) {
      tokens.refuse(s.tokenInUse());
      listeners.tokenWanted();
    }
    learn(s, end, wasOpening);
    after(s, end, wasOpening);
  }

  /** What the end says of the network, of the transport, and of openings that nobody answered. */
  private void learn(Stream s, End end, boolean wasOpening) {
    long now = loop.now();
    long lived = lived(s);
    if (lived >= Backoff.STABLE_AFTER) {
      backoff.reset();
      choice.succeeded();
    }
    if (end.by == End.By.SILENCE && !wasOpening && !s.seesBytes()) {
      deaths++;
    }
    if (wasOpening && s.trial) {
      choice.tried(false, now);
    }
    if (wasOpening && live != null) {
      live.succeeded = false;
    }
    if (end.by == End.By.SERVER) {
      choice.succeeded();
    }
    if (!end.countsForTransport()) {
      return;
    }
    if ((wasOpening || s.transport == Transport.POLL) && end.reached) {
      unclearUntil = now + UNCLEAR_FOR_MS;
    }
    if (!s.trial && !s.away && lived < Backoff.STABLE_AFTER && choice.failed(now)) {
      counters.add(Count.FALLBACKS);
    }
  }

  private void after(Stream s, End end, boolean wasOpening) {
    if (wasOpening && live != null && !live.away) {
      armTrial(); // a trial that failed
    } else if (opening != null) {
      listeners.state(new StateChange(State.CONNECTING, opening.transport, 0, end.toString()));
    } else if (reopen.isSet()) {
      waiting(reopen.left(), end.toString());
    } else {
      pause(end, wasOpening);
    }
  }

  /** Waits for the next opening. C 7 */
  private void pause(End end, boolean wasOpening) {
    boolean moves = end.moving() && !wasOpening && end.withinMs > 0;
    long delay = moves ? backoff.within(end.withinMs) : end.retryAfterMs + backoff.next();
    if (!network) {
      held = true;
      hold();
      return;
    }
    reopen.set(delay);
    waiting(delay, end.toString());
  }

  private void waiting(long delay, String cause) {
    if (live == null && opening == null && !closing) {
      listeners.state(new StateChange(State.WAITING, choice.current(), delay, cause));
    }
  }

  private long lived(Stream s) {
    return s.liveSince < 0 ? 0 : loop.now() - s.liveSince;
  }
}
