package ramen.client.publish;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import ramen.client.RamenException;
import ramen.client.SettingException;
import ramen.client.internal.Backoff;
import ramen.client.internal.Checks;
import ramen.client.internal.Draw;
import ramen.client.internal.Loop;

/** One publishAll: messages that have no good answer yet, and the results so far. It runs in the loop. C 14 */
final class Publishing {
  private static final long FIRST_RETRY_MS = 100; // the bound of the first pause. C 14.2
  private static final long MOST_RETRY_MS = 5_000;
  private static final int MOST_USERS = 1_000; // of one request. SPEC 8.3.1

  /** A message on its way, and the places of its results, one a user. */
  private static final class Pending {
    final Publication publication;
    final List<String> users;
    final List<Integer> places;
    final byte[] encoded;

    Pending(Publication publication, List<String> users, List<Integer> places, Backend backend) {
      this.publication = publication;
      this.users = users;
      this.places = places;
      this.encoded = backend.encode(publication, users);
    }
  }

  private final Loop loop;
  private final Backend backend;
  private final Batcher batcher;
  private final int maxBatch;
  private final Consumer<Throwable> onRetry;
  private final Backoff backoff;
  private final List<Result> results = new ArrayList<>();
  private final CompletableFuture<List<Result>> future = new CompletableFuture<>();
  private List<Pending> todo = new ArrayList<>(); // of this round
  private List<Pending> again = new ArrayList<>(); // of the next
  private Batcher.Unit unit; // under way; null: none
  private RuntimeException cause; // why some are open
  private long after; // what the server wants to be waited for
  private long deadline;
  private Loop.Timer limit;
  private Loop.Timer pause;

  Publishing(Loop loop, Backend backend, Batcher batcher, int maxBatch, Draw draw, Consumer<Throwable> onRetry) {
    this.loop = loop;
    this.backend = backend;
    this.batcher = batcher;
    this.maxBatch = maxBatch;
    this.onRetry = onRetry;
    this.backoff = new Backoff(draw, FIRST_RETRY_MS, MOST_RETRY_MS);
  }

  /** Checks each user by itself: one that is wrong must not spoil the others' request. */
  private void add(Publication p) {
    List<String> users = new ArrayList<>();
    List<Integer> places = new ArrayList<>();
    for (String user : p.users) {
      results.add(new Result(p.id, user, Result.Status.UNKNOWN, 0, null));
      int place = results.size() - 1;
      try {
        Checks.name("user", user);
        users.add(user);
        places.add(place);
      } catch (SettingException e) {
        reject(place, new PublishException("invalid_argument", e.getMessage(), 0));
      }
    }
    for (int i = 0; i < users.size(); i += MOST_USERS) {
      int to = Math.min(i + MOST_USERS, users.size());
      todo.add(new Pending(p, users.subList(i, to), places.subList(i, to), backend));
    }
  }

  private void reject(int place, PublishException error) {
    Result r = results.get(place);
    results.set(place, new Result(r.id(), r.user(), Result.Status.REJECTED, 0, error));
  }

  /** Goes over what is open, again and again, until nothing is, or until time has run out. */
  CompletableFuture<List<Result>> run(List<Publication> publications, long timeoutMs) {
    publications.forEach(this::add);
    deadline = loop.now() + timeoutMs;
    limit = loop.schedule(timeoutMs, this::late);
    next();
    return future;
  }

  private void finish(Throwable error) {
    limit.cancel();
    if (pause != null) {
      pause.cancel();
    }
    if (unit != null) {
      unit.given = true;
      unit = null;
    }
    if (error == null) {
      future.complete(results);
    } else {
      future.completeExceptionally(error);
    }
  }

  private void late() {
    if (future.isDone()) {
      return;
    }
    List<String> ids = new ArrayList<>();
    for (Result r : results) {
      if (r.status() == Result.Status.UNKNOWN) {
        ids.add(r.id());
      }
    }
    finish(new UnknownOutcomeException(ids, cause == null ? "the server has not answered" : cause.getMessage(), results));
  }

  /** Sends the next unit, or begins the next round. */
  private void next() {
    if (todo.isEmpty() && again.isEmpty()) {
      finish(null);
    } else if (todo.isEmpty()) {
      todo = again;
      again = new ArrayList<>();
      long delay = after + backoff.next();
      after = 0;
      onRetry.accept(cause);
      if (loop.now() + delay < deadline) { // else the limit ends it
        pause = loop.schedule(delay, this::next);
      }
    } else {
      int n = fitting();
      List<Pending> sent = new ArrayList<>(todo.subList(0, n));
      todo = new ArrayList<>(todo.subList(n, todo.size()));
      send(sent);
    }
  }

  /** How many of todo fit one unit; at least one. */
  private int fitting() {
    int count = 0;
    int size = 0;
    for (int i = 0; i < todo.size(); i++) {
      count += todo.get(i).users.size();
      size += todo.get(i).encoded.length + 1;
      if (i > 0 && (count > maxBatch || size > Batcher.MOST_REQUEST)) {
        return i;
      }
    }
    return todo.size();
  }

  private void send(List<Pending> sent) {
    Batcher.Unit u = new Batcher.Unit();
    for (Pending p : sent) {
      u.encoded.add(p.encoded);
      u.users.addAll(p.users);
      u.count += p.users.size();
      u.size += p.encoded.length + 1;
    }
    u.done = (answers, error) -> answered(sent, answers, error);
    unit = u;
    batcher.submit(u);
  }

  private void answered(List<Pending> sent, List<Backend.Answer> answers, Throwable error) {
    if (future.isDone()) {
      return;
    }
    unit = null;
    if (error == null) {
      int at = 0;
      for (Pending p : sent) {
        note(p, answers.subList(at, at + p.users.size()));
        at += p.users.size();
      }
    } else if (error instanceof NoAnswerException) { // unknown. SPEC 9.1.3
      cause = (NoAnswerException) error;
      again.addAll(sent);
    } else if (error instanceof PublishException && ((PublishException) error).again()) {
      cause = (PublishException) error;
      after = Math.max(after, ((PublishException) error).retryAfterMs());
      again.addAll(sent);
    } else if (error instanceof PublishException) {
      for (Pending p : sent) {
        p.places.forEach(place -> reject(place, (PublishException) error));
      }
    } else {
      finish(error instanceof RamenException ? error : new RamenException("publish: " + error.getMessage(), error));
      return;
    }
    next();
  }

  /** Takes over the answers to what was sent, and keeps open what is to be tried again. C 14.5 */
  private void note(Pending p, List<Backend.Answer> answers) {
    List<String> users = new ArrayList<>();
    List<Integer> places = new ArrayList<>();
    for (int i = 0; i < answers.size(); i++) {
      Backend.Answer a = answers.get(i);
      int place = p.places.get(i);
      if (Arrays.asList("accepted", "duplicate").contains(a.status)) {
        Result.Status status = a.status.equals("accepted") ? Result.Status.ACCEPTED : Result.Status.DUPLICATE;
        results.set(place, new Result(p.publication.id, p.users.get(i), status, a.devices, null));
      } else if (a.error.again()) {
        cause = a.error;
        users.add(p.users.get(i));
        places.add(place);
      } else {
        reject(place, a.error);
      }
    }
    if (!users.isEmpty()) {
      again.add(new Pending(p.publication, users, places, backend));
    }
  }
}
