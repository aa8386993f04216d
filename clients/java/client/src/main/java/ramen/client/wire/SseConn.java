package ramen.client.wire;

import java.io.IOException;
import okhttp3.Call;
import okhttp3.Callback;
import okhttp3.OkHttpClient;
import okhttp3.Response;
import okio.BufferedSource;
import ramen.client.DeviceContext;

/** A stream over Server-Sent Events: SPEC 5. Its call's thread reads. */
public final class SseConn implements Conn, Callback {
  private final Http http;
  private final OkHttpClient client;
  private final Opening opening;
  private final Events events;
  private final Call call;
  private volatile String ackToken;
  private boolean greeted; // of the reading thread

  public SseConn(Http http, Opening opening, Events events) {
    this.http = http;
    this.client = http.newClient();
    this.opening = opening;
    this.events = events;
    this.ackToken = opening.token;
    this.call =
        client.newCall(
            http.request(http.open("ramen/receive", opening).build(), opening.token)
                .header("Accept", "text/event-stream")
                .header("Cache-Control", "no-cache")
                .build());
    call.enqueue(this);
  }

  @Override
  public void onFailure(Call call, IOException e) {
    events.ended(Http.lost(e));
  }

  @Override
  public void onResponse(Call call, Response response) {
    try (Response r = response) {
      events.ended(read(r));
    }
  }

  private End read(Response response) {
    if (response.code() != 200) {
      return Http.refusal(response);
    }
    String type = Http.contentType(response);
    if (!type.equals("text/event-stream")) {
      return End.cut("the answer is \"" + type + "\", not text/event-stream", true);
    }
    EventParser parser = new EventParser(Frame.MAX);
    byte[] chunk = new byte[8 << 10];
    try {
      BufferedSource source = response.body().source();
      for (int n; (n = source.read(chunk)) >= 0; ) {
        events.alive();
        for (EventParser.Event e : parser.feed(chunk, n)) {
          tell(e);
        }
      }
      return End.cut("the stream has ended", true);
    } catch (IOException e) {
      return End.cut(e.getClass().getSimpleName() + ": " + e.getMessage(), true);
    } catch (FrameException e) {
      return End.cut("not a frame of the contract: " + e.getMessage(), true);
    }
  }

  private void tell(EventParser.Event e) throws FrameException {
    Frame frame = JsonFrames.event(e);
    if (frame instanceof Frame.Hello) {
      greeted = true;
    } else if (frame instanceof Frame.GoAway && !greeted) {
      // Of a refusal retry: says when to come back (SPEC 5.4.1); elsewhere it is for EventSource. C 7.3, 7.5
      ((Frame.GoAway) frame).retryMs = e.retryMs;
    }
    if (frame != null) {
      events.frame(frame);
    }
  }

  @Override
  public String token() {
    return opening.token; // of the stream, for as long as it lives
  }

  @Override
  public boolean seesBytes() {
    return true;
  }

  @Override
  public void ack(long seq, String cursor, Acked done) {
    AckCall.post(client, http, http.ack(opening, cursor), ackToken, done);
  }

  @Override
  public void echo(long timeMs) {}

  @Override
  public boolean refresh(String token, DeviceContext context) {
    ackToken = token;
    return false;
  }

  @Override
  public void finish(Runnable done) {
    done.run();
  }

  @Override
  public void close() {
    call.cancel();
    client.connectionPool().evictAll();
  }

  @Override
  public void abandon() {
    close(); // an end of HTTP says nothing
  }
}
