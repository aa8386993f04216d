package ramen.client.publish;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import okhttp3.Call;
import okhttp3.Callback;
import okhttp3.HttpUrl;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import okio.Buffer;
import ramen.client.Message;
import ramen.client.wire.End;
import ramen.client.wire.FrameException;
import ramen.client.wire.JsonFrames;
import ramen.client.wire.JsonObject;

/** Backends' HTTP: SPEC 8.2. */
final class HttpBackend implements Backend {
  private static final MediaType JSON = MediaType.get("application/json");
  private final OkHttpClient client;
  private final HttpUrl url;
  private final String key;

  HttpBackend(OkHttpClient client, HttpUrl url, String key) {
    this.client = client;
    this.url = url;
    this.key = key;
  }

  @Override
  public byte[] encode(Publication p, List<String> users) {
    StringBuilder out = new StringBuilder("{\"id\":");
    JsonFrames.quote(out, p.id);
    if (users.size() == 1) {
      text(out, "user", users.get(0));
    } else {
      out.append(",\"users\":[");
      for (int i = 0; i < users.size(); i++) {
        out.append(i == 0 ? "" : ",");
        JsonFrames.quote(out, users.get(i));
      }
      out.append(']');
    }
    text(out, "device", p.device);
    text(out, "type", p.type);
    text(out, "priority", p.priority.text());
    text(out, "content_type", p.contentType);
    text(out, "collapse_key", p.collapseKey);
    if (p.ttlMs > 0) {
      out.append(",\"ttl_ms\":").append(p.ttlMs);
    }
    if (!p.headers.isEmpty()) {
      JsonFrames.texts(out.append(",\"headers\":"), p.headers);
    }
    if (!p.where.isEmpty()) {
      JsonFrames.texts(out.append(",\"where\":"), p.where);
    }
    if (p.payload.length > 0 && p.isJson()) {
      out.append(",\"payload\":").append(new String(p.payload, StandardCharsets.UTF_8));
    } else if (p.payload.length > 0) {
      text(out, "payload_b64", Base64.getEncoder().encodeToString(p.payload));
    }
    return out.append('}').toString().getBytes(StandardCharsets.UTF_8);
  }

  private static void text(StringBuilder out, String name, String value) {
    if (!value.isEmpty()) {
      out.append(",\"").append(name).append("\":");
      JsonFrames.quote(out, value);
    }
  }

  @Override
  public CompletableFuture<List<Answer>> exchange(List<byte[]> encoded, long timeoutMs) {
    Buffer body = new Buffer().writeUtf8("{\"messages\":[");
    for (int i = 0; i < encoded.size(); i++) {
      body.writeUtf8(i == 0 ? "" : ",").write(encoded.get(i));
    }
    body.writeUtf8("]}");
    return call("POST", path("publish"), body.readByteArray(), timeoutMs, HttpBackend::answers);
  }

  private static List<Answer> answers(String text) throws FrameException {
    JsonObject o = JsonObject.of(text);
    if (!o.has("results")) {
      throw new FrameException("the answer has no results");
    }
    List<Answer> found = new ArrayList<>();
    for (JsonObject r : o.objects("results")) {
      JsonObject error = r.object("error");
      String code = error == null ? "" : error.string("code");
      found.add(new Answer(r.string("status"), (int) r.number("devices"), code, error == null ? "" : error.string("message")));
    }
    return found;
  }

  @Override
  public CompletableFuture<Boolean> recall(String user, String id, long timeoutMs) {
    return Backend.found(call("DELETE", path("users", user, "messages", id), null, timeoutMs, text -> true));
  }

  @Override
  public CompletableFuture<Integer> disconnect(String user, String device, String detail, long timeoutMs) {
    StringBuilder body = new StringBuilder("{\"device\":");
    JsonFrames.quote(body, device);
    text(body, "detail", detail);
    byte[] bytes = (device.isEmpty() && detail.isEmpty() ? "{}" : body.append('}').toString()).getBytes(StandardCharsets.UTF_8);
    return call("POST", path("users", user, "disconnect"), bytes, timeoutMs, text -> (int) JsonObject.of(text).number("streams"));
  }

  @Override
  public CompletableFuture<List<KnownDevice>> devices(String user, long timeoutMs) {
    return call(
        "GET",
        path("users", user, "devices"),
        null,
        timeoutMs,
        text -> {
          List<KnownDevice> found = new ArrayList<>();
          for (JsonObject d : JsonObject.of(text).objects("devices")) {
            found.add(KnownDevice.of(d));
          }
          return found;
        });
  }

  @Override
  public CompletableFuture<List<Message>> messages(String user, long timeoutMs) {
    return call(
        "GET",
        path("users", user, "messages"),
        null,
        timeoutMs,
        text -> {
          List<Message> found = new ArrayList<>();
          for (JsonObject m : JsonObject.of(text).objects("messages")) {
            found.add(JsonFrames.message(m));
          }
          return found;
        });
  }

  @Override
  public void close() {
    client.dispatcher().cancelAll();
    client.connectionPool().evictAll();
  }

  /** Dots are escaped too where they would be taken for a folder. */
  private HttpUrl path(String... segments) {
    StringBuilder path = new StringBuilder("v1");
    for (String s : segments) {
      StringBuilder escaped = new StringBuilder();
      for (byte b : s.getBytes(StandardCharsets.UTF_8)) {
        boolean plain = (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '-' || b == '_';
        escaped.append(plain ? String.valueOf((char) b) : String.format(java.util.Locale.ROOT, "%%%02X", b));
      }
      path.append('/').append(escaped);
    }
    return url.newBuilder().addEncodedPathSegments(path.toString()).build();
  }

  private interface Decoder<T> {
    T decode(String text) throws FrameException;
  }

  private <T> CompletableFuture<T> call(String method, HttpUrl address, byte[] body, long timeoutMs, Decoder<T> decoder) {
    Request.Builder b = new Request.Builder().url(address).method(method, body == null ? null : RequestBody.create(body, JSON));
    if (!key.isEmpty()) {
      b.header("Authorization", "Bearer " + key);
    }
    CompletableFuture<T> future = new CompletableFuture<>();
    Call call = client.newCall(b.build());
    call.timeout().timeout(timeoutMs, TimeUnit.MILLISECONDS);
    call.enqueue(
        new Callback() {
          @Override
          public void onFailure(Call call, IOException e) {
            future.completeExceptionally(new NoAnswerException(e.getClass().getSimpleName() + ": " + e.getMessage()));
          }

          @Override
          public void onResponse(Call call, Response response) {
            try (Response r = response) {
              String text = r.body().string();
              if (r.isSuccessful()) {
                future.complete(decoder.decode(text));
              } else {
                future.completeExceptionally(refusal(r, text));
              }
            } catch (IOException | FrameException e) {
              future.completeExceptionally(new NoAnswerException("the answer is not of the contract: " + e.getMessage()));
            }
          }
        });
    return future;
  }

  /**
   * The server's error. What came from something in between counts by its status: 4xx will not get better by itself, all else is as good as no answer.
   */
  private static PublishException refusal(Response r, String body) {
    long retryAfter = End.readRetryAfter(r.header("Retry-After"));
    String[] own = JsonFrames.error(body);
    if (own != null) {
      return new PublishException(own[0], own[1], retryAfter);
    }
    String said = "http status " + r.code();
    switch (r.code()) {
      case 401:
        return new PublishException("unauthenticated", said, retryAfter);
      case 403:
        return new PublishException("permission_denied", said, retryAfter);
      case 408:
        return new PublishException("unavailable", said, retryAfter);
      case 429:
        return new PublishException("resource_exhausted", said, retryAfter);
      default:
        boolean wrong = r.code() >= 300 && r.code() < 500;
        return new PublishException(wrong ? "invalid_argument" : "unavailable", said + (wrong ? "; is the url the backends' port?" : ""), retryAfter);
    }
  }
}
