package ramen.client.publish;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.function.Function;
import okhttp3.ConnectionPool;
import okhttp3.Dispatcher;
import okhttp3.HttpUrl;
import okhttp3.OkHttpClient;
import ramen.client.Message;
import ramen.client.RamenException;
import ramen.client.SettingException;
import ramen.client.internal.Checks;
import ramen.client.internal.Draw;
import ramen.client.internal.Loop;
import ramen.client.internal.SerialLoop;
import ramen.client.internal.Workers;

/**
 * Publishes messages. One is best shared by the whole process: what is published at the same time goes in one request. Each message has an id before its
 * first attempt; what the server cannot take now is tried again under that id, so that nothing is delivered twice.
 *
 * <pre>{@code
 * try (RamenPublisher publisher = RamenPublisher.builder("http://ramen.internal:9080").key(key).build()) {
 *   publisher.publish(Publication.to("alice").json("{\"text\":\"hello\"}").build()).join();
 * }
 * }</pre>
 *
 * <p>Methods may be called from any thread, and return at once, but for close.
 */
public final class RamenPublisher implements AutoCloseable {
  /** How long a publish is tried, unless the caller says. C 14.2 */
  public static final Duration TIMEOUT = Duration.ofSeconds(30);

  /** How long one request waits for its answer: twice the server's own deadline. */
  private static final long ANSWER_MS = 10_000;

  private final Loop loop = new SerialLoop();
  private final Backend backend;
  private final Batcher batcher;
  private final int maxBatch;
  private final Consumer<Throwable> onRetry;
  private final Draw draw;
  private boolean closed; // guarded by this
  private int calls; // under way; guarded by this
  private CompletableFuture<Void> idle; // guarded by this; null: nobody waits

  private RamenPublisher(Builder b) {
    this.backend = b.backend != null ? b.backend : new HttpBackend(b.client(), b.url, b.key);
    this.maxBatch = b.maxBatch;
    this.onRetry = b.onRetry;
    this.draw = b.draw;
    this.batcher = new Batcher(loop, backend, maxBatch, b.inFlight, b.lingerMs, ANSWER_MS);
  }

  /** A publisher over HTTP, to the url of the backends' port, such as http://ramen.internal:9080. */
  public static Builder builder(String url) {
    Builder b = new Builder();
    b.url = Checks.url("url", url);
    return b;
  }

  /** A publisher over gRPC: {@code RamenGrpc.backends("ramen.internal:9081", key)} of the artifact ramen-client-grpc. */
  public static Builder builder(Backend backend) {
    Builder b = new Builder();
    b.backend = Objects.requireNonNull(backend);
    return b;
  }

  /**
   * Publishes one message. The future completes once the server has said accepted or duplicate (SPEC 9.1); with {@link PublishException} where the server
   * refuses, and with {@link UnknownOutcomeException} where no answer came within the time.
   */
  public CompletableFuture<Result> publish(Publication publication) {
    return publish(publication, TIMEOUT);
  }

  public CompletableFuture<Result> publish(Publication publication, Duration timeout) {
    if (publication.users.size() != 1) {
      throw new SettingException("users", publication.users.size() + " users", "use publishAll for more than one");
    }
    CompletableFuture<Result> one = new CompletableFuture<>();
    publishAll(Collections.singletonList(publication), timeout)
        .whenComplete(
            (results, error) -> {
              if (error != null) {
                one.completeExceptionally(error);
              } else if (results.get(0).error() != null) {
                one.completeExceptionally(results.get(0).error());
              } else {
                one.complete(results.get(0));
              }
            });
    return one;
  }

  /**
   * Publishes messages, in their order; one result for each message and user, in order. One that is rejected has the reason in its result. Messages that had
   * to be tried again may come after those behind them. The future completes with {@link UnknownOutcomeException} where some have no answer within the time.
   */
  public CompletableFuture<List<Result>> publishAll(List<Publication> publications) {
    return publishAll(publications, TIMEOUT);
  }

  public CompletableFuture<List<Result>> publishAll(List<Publication> publications, Duration timeout) {
    List<Publication> all = new ArrayList<>(publications);
    return call(
        done ->
            loop.execute(
                () ->
                    new Publishing(loop, backend, batcher, maxBatch, draw, onRetry)
                        .run(all, timeout.toMillis())
                        .whenComplete((results, error) -> complete(done, results, error))));
  }

  /** The user's known devices. This and what follows complete with PublishException, and with NoAnswerException where none came within 10 s. */
  public CompletableFuture<List<KnownDevice>> devices(String user) {
    return ask(user, b -> b.devices(user, ANSWER_MS));
  }

  /** What waits in the user's mailbox, without payloads over 16 KiB. */
  public CompletableFuture<List<Message>> messages(String user) {
    return ask(user, b -> b.messages(user, ANSWER_MS));
  }

  /** Takes a waiting message back; false where there is none of that id. What was pushed already is not undone. */
  public CompletableFuture<Boolean> recall(String user, String id) {
    Checks.name("id", id);
    return ask(user, b -> b.recall(user, id, ANSWER_MS));
  }

  /** Ends the stream of one device, or (device empty) of all the user's; how many there were. They are told not to come back by themselves. */
  public CompletableFuture<Integer> disconnect(String user, String device, String detail) {
    return ask(user, b -> b.disconnect(user, device, detail, ANSWER_MS));
  }

  private <T> CompletableFuture<T> ask(String user, Function<Backend, CompletableFuture<T>> question) {
    Checks.name("user", user);
    return call(done -> question.apply(backend).whenComplete((value, error) -> complete(done, value, error)));
  }

  private static <T> void complete(CompletableFuture<T> done, T value, Throwable error) {
    if (error == null) {
      done.complete(value);
    } else {
      Throwable cause = error instanceof java.util.concurrent.CompletionException && error.getCause() != null ? error.getCause() : error;
      done.completeExceptionally(cause);
    }
  }

  /** Counts a call as under way until its future is done. */
  private <T> CompletableFuture<T> call(Consumer<CompletableFuture<T>> begin) {
    CompletableFuture<T> done = new CompletableFuture<>();
    synchronized (this) {
      if (closed) {
        done.completeExceptionally(new RamenException("the publisher is closed"));
        return done;
      }
      calls++;
    }
    done.whenComplete((value, error) -> over());
    begin.accept(done);
    return done;
  }

  private synchronized void over() {
    calls--;
    if (calls == 0 && idle != null) {
      idle.complete(null);
    }
  }

  /** close with 30 s. */
  @Override
  public void close() {
    close(TIMEOUT);
  }

  /** Waits for what is out, for at most the time, and lets go of the connections. What is published afterwards is refused. C 14.7 */
  public void close(Duration timeout) {
    CompletableFuture<Void> wait = new CompletableFuture<>();
    synchronized (this) {
      closed = true;
      if (calls == 0) {
        wait.complete(null);
      } else {
        idle = wait;
      }
    }
    try {
      wait.get(timeout.toMillis(), TimeUnit.MILLISECONDS);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    } catch (ExecutionException | TimeoutException e) {
      // what is still out is ended
    }
    loop.execute(
        () -> {
          batcher.close();
          backend.close();
        });
  }

  /** Sets up a publisher. */
  public static final class Builder {
    private HttpUrl url;
    private Backend backend;
    private String key = "";
    private int maxBatch = 256;
    private int inFlight = 4;
    private long lingerMs;
    private OkHttpClient client;
    private Consumer<Throwable> onRetry = cause -> {};
    private final Draw draw = Draw.EVEN;

    private Builder() {}

    /** The API key, over HTTP. */
    public Builder key(String key) {
      this.key = Objects.requireNonNull(key);
      return this;
    }

    /** The most messages of one request, users counted one by one, 1 to 1,000. */
    public Builder maxBatch(int messages) {
      this.maxBatch = (int) Checks.number("maxBatch", messages, 1, 1_000, "use 1 to 1000 messages");
      return this;
    }

    /** The most requests out at once. */
    public Builder inFlight(int requests) {
      this.inFlight = (int) Checks.number("inFlight", requests, 1, 1_000, "use 1 to 1000 requests");
      return this;
    }

    /** How long a request waits for more messages; by default not at all. */
    public Builder linger(Duration linger) {
      this.lingerMs = Checks.number("linger", linger.toMillis(), 0, 60_000, "use 0 s to 60 s");
      return this;
    }

    /** Told why messages are to be tried again. It must not block. */
    public Builder onRetry(Consumer<Throwable> onRetry) {
      this.onRetry = Objects.requireNonNull(onRetry);
      return this;
    }

    /** The client whose certificates, DNS, proxy and interceptors are used. */
    public Builder okHttp(OkHttpClient client) {
      this.client = Objects.requireNonNull(client);
      return this;
    }

    private OkHttpClient client() {
      Dispatcher dispatcher = new Dispatcher(Workers.POOL);
      dispatcher.setMaxRequests(Integer.MAX_VALUE); // the batcher bounds them
      dispatcher.setMaxRequestsPerHost(Integer.MAX_VALUE);
      OkHttpClient.Builder b = client == null ? new OkHttpClient.Builder() : client.newBuilder();
      return b.dispatcher(dispatcher)
          .connectionPool(new ConnectionPool(inFlight, 1, TimeUnit.MINUTES))
          .followRedirects(false)
          .followSslRedirects(false)
          .readTimeout(0, TimeUnit.MILLISECONDS)
          .writeTimeout(0, TimeUnit.MILLISECONDS)
          .build();
    }

    public RamenPublisher build() {
      return new RamenPublisher(this);
    }
  }
}
