package ramen.client.wire;

import java.io.IOException;
import java.util.concurrent.TimeUnit;
import okhttp3.Call;
import okhttp3.Callback;
import okhttp3.HttpUrl;
import okhttp3.OkHttpClient;
import okhttp3.Response;
import ramen.client.DeviceContext;
import ramen.client.Message;
import ramen.client.internal.Loop;

/**
 * A stream of one poll after another: SPEC 5.6. The next one waits until the pushes of the last answer are processed, since its cursor is their ack
 * (C 12.3). Its fields belong to the loop, but for lastRead.
 */
public final class PollConn implements Conn, Callback {
  /** Beyond the wait, until the answer must begin; then from one part of it to the next. A slow link takes its time for a window's worth of pushes. */
  private static final long GRACE_MS = 10_000;

  /** From one poll that brought nothing to the next, at least: for a server that answers at once. */
  private static final long PAUSE_MS = 1_000;

  private final Http http;
  private final OkHttpClient client;
  private final Events events;
  private final Loop loop;
  private final int waitSeconds;
  private Opening opening; // of the next poll; its cursor is what has been processed
  private String token; // of the last poll
  private String sent; // the cursor of the last poll
  private String due = ""; // the cursor that the next poll must have; empty: whatever is there
  private boolean greeted;
  private boolean over;
  private long began;
  private volatile long lastRead; // or when the answer is to begin
  private Call call;
  private Loop.Timer timer;

  public PollConn(Http http, Opening opening, int waitSeconds, Loop loop, Events events) {
    this.http = http;
    this.client = http.newClient();
    this.opening = opening;
    this.waitSeconds = waitSeconds;
    this.loop = loop;
    this.events = events;
    poll();
  }

  /** One request. The first does not wait, so that the device knows at once whether it is connected. C 3.9 */
  private void poll() {
    if (over) {
      return;
    }
    int wait = greeted ? waitSeconds : 0;
    sent = opening.cursor;
    token = opening.token;
    began = loop.now();
    HttpUrl address = http.open("ramen/poll", opening).addQueryParameter("wait", String.valueOf(wait)).build();
    call = client.newCall(http.request(address, token).build());
    lastRead = began + TimeUnit.SECONDS.toMillis(wait);
    timer = loop.schedule(lastRead + GRACE_MS - began, this::late);
    call.enqueue(this);
  }

  private void late() {
    long left = lastRead + GRACE_MS - loop.now();
    if (left > 0) {
      timer = loop.schedule(left, this::late);
    } else {
      call.cancel();
      events.ended(End.cut("a poll was not answered in time", true));
    }
  }

  private void read() {
    lastRead = loop.now();
    events.alive();
  }

  @Override
  public void onFailure(Call call, IOException e) {
    events.ended(Http.lost(e));
  }

  @Override
  public void onResponse(Call call, Response response) {
    try (Response r = response) {
      String type = Http.contentType(r);
      if (r.code() != 200) {
        events.ended(Http.refusal(r));
      } else if (!type.equals("application/json")) {
        events.ended(End.cut("the answer is \"" + type + "\", not application/json", true));
      } else {
        read(); // the head may be all that comes in time. C 3.3
        PollAnswer answer = JsonFrames.poll(Http.all(r, Frame.MAX, this::read));
        loop.execute(() -> take(answer));
      }
    } catch (IOException e) {
      events.ended(Http.lost(e));
    } catch (FrameException e) {
      events.ended(End.cut("not a frame of the contract: " + e.getMessage(), true));
    }
  }

  /** Makes frames of an answer: a hello where there is something new to say, the pushes, the goaway. */
  private void take(PollAnswer a) {
    if (over) {
      return;
    }
    timer.cancel();
    if (a.goaway != null) {
      events.frame(a.goaway);
      return;
    }
    boolean empty = a.messages.isEmpty();
    boolean hello = !greeted || a.expired > 0 || !a.resumed;
    greeted = true;
    if (empty) {
      opening = opening.withCursor(a.cursor);
      sent = a.cursor;
    }
    due = empty ? "" : a.cursor;
    if (hello) {
      events.frame(hello(a, empty));
    }
    int left = a.messages.size();
    for (Message m : a.messages) {
      events.frame(new Frame.Push(m, --left == 0 ? a.cursor : ""));
    }
    if (empty) {
      timer = loop.schedule(hello ? 0 : Math.max(0, PAUSE_MS - (loop.now() - began)), this::poll);
    }
  }

  /** The answer's cursor is that of its last push; only without one is it where the stream begins. */
  private static Frame.Hello hello(PollAnswer a, boolean empty) {
    Frame.Hello h = new Frame.Hello();
    h.resumed = a.resumed;
    h.stream = a.stream;
    h.expired = a.expired;
    h.cursor = empty ? a.cursor : "";
    return h;
  }

  @Override
  public String token() {
    return token;
  }

  @Override
  public boolean seesBytes() {
    return true;
  }

  @Override
  public void ack(long seq, String cursor, Acked done) {
    opening = opening.withCursor(cursor);
    if (!due.isEmpty() && due.equals(cursor)) {
      due = "";
      poll();
    }
    done.acked(null, false);
  }

  @Override
  public void echo(long timeMs) {}

  /** For the polls to come. */
  @Override
  public boolean refresh(String token, DeviceContext context) {
    opening = opening.with(token, context == null ? opening.context : context);
    return true;
  }

  /** What the next poll would ack is acked by itself. C 12.5 */
  @Override
  public void finish(Runnable done) {
    if (over || opening.cursor.isEmpty() || opening.cursor.equals(sent)) {
      done.run();
      return;
    }
    sent = opening.cursor;
    AckCall.post(client, http, http.ack(opening, sent), opening.token, (failure, refused) -> done.run());
  }

  @Override
  public void close() {
    over = true;
    if (timer != null) {
      timer.cancel();
    }
    call.cancel();
    client.connectionPool().evictAll();
  }

  @Override
  public void abandon() {
    close(); // an end of HTTP says nothing
  }
}
