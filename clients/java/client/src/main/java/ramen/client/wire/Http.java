package ramen.client.wire;

import java.io.IOException;
import java.net.ConnectException;
import java.net.NoRouteToHostException;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.util.Collections;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.TimeUnit;
import okhttp3.ConnectionPool;
import okhttp3.CookieJar;
import okhttp3.Dispatcher;
import okhttp3.HttpUrl;
import okhttp3.Interceptor;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okio.Buffer;
import okio.BufferedSource;

/** What the transports over HTTP share: the client, addresses and headers of requests (SPEC 4.2), and errors (SPEC 4.4). */
public final class Http {
  private final OkHttpClient client;
  private final HttpUrl url;
  private final Map<String, String> headers;

  /** app: the app's client, whose sockets, DNS, proxy and certificates are used; null: a plain one. threads: where calls run. */
  public Http(OkHttpClient app, HttpUrl url, Map<String, String> headers, ExecutorService threads) {
    Dispatcher dispatcher = new Dispatcher(threads);
    dispatcher.setMaxRequests(Integer.MAX_VALUE); // a stream is a request that does not end
    dispatcher.setMaxRequestsPerHost(Integer.MAX_VALUE);
    OkHttpClient.Builder b = app == null ? new OkHttpClient.Builder() : app.newBuilder();
    this.client =
        b.dispatcher(dispatcher)
            .cookieJar(CookieJar.NO_COOKIES) // C 3.5
            .followRedirects(false)
            .followSslRedirects(false)
            .cache(null)
            .callTimeout(0, TimeUnit.MILLISECONDS) // the device has times of its own
            .connectTimeout(0, TimeUnit.MILLISECONDS)
            .readTimeout(0, TimeUnit.MILLISECONDS)
            .writeTimeout(0, TimeUnit.MILLISECONDS)
            .pingInterval(0, TimeUnit.MILLISECONDS) // heartbeats are data: SPEC 2.8.7
            .addNetworkInterceptor(Http::noRetry)
            .build();
    this.url = url;
    this.headers = Collections.unmodifiableMap(headers);
  }

  /** OkHttp would send a request again at once after a 503 with Retry-After: 0. */
  private static Response noRetry(Interceptor.Chain chain) throws IOException {
    Response response = chain.proceed(chain.request());
    boolean again = response.code() == 503 && "0".equals(response.header("Retry-After"));
    return again ? response.newBuilder().removeHeader("Retry-After").build() : response;
  }

  /** A client with connections of its own, for one stream. */
  public OkHttpClient newClient() {
    return client.newBuilder().connectionPool(new ConnectionPool(2, 5, TimeUnit.MINUTES)).build();
  }

  /** An address below the server's, with the query of an opening but the token, which goes into a header, so that no proxy logs it. */
  HttpUrl.Builder open(String path, Opening o) {
    HttpUrl.Builder b = identity(path, o);
    query(b, "cursor", o.cursor);
    query(b, "window", o.window == 0 ? "" : String.valueOf(o.window));
    query(b, "heartbeat_ms", o.heartbeatMs == 0 ? "" : String.valueOf(o.heartbeatMs));
    o.context.fields().forEach((name, value) -> query(b, name, value));
    o.context.labels().forEach((name, value) -> query(b, "label." + name, value));
    return b;
  }

  private HttpUrl.Builder identity(String path, Opening o) {
    HttpUrl.Builder b = url.newBuilder().addPathSegments(path);
    query(b, "user", o.user);
    query(b, "device", o.device);
    return b;
  }

  private static void query(HttpUrl.Builder b, String name, String value) {
    if (!value.isEmpty()) {
      b.addQueryParameter(name, value);
    }
  }

  /** The address of an ack. SPEC 5.5 */
  HttpUrl ack(Opening o, String cursor) {
    return identity("ramen/ack", o).addQueryParameter("cursor", cursor).build();
  }

  /** A request with what every request bears. identity: a compressor in between would hold heartbeats back. C 3.6 */
  Request.Builder request(HttpUrl address, String token) {
    Request.Builder b = new Request.Builder().url(address).header("Accept-Encoding", "identity");
    headers.forEach(b::header);
    if (!token.isEmpty()) {
      b.header("Authorization", "Bearer " + token);
    }
    return b;
  }

  /** No answer. A connection that was never made has not reached the server. */
  static End lost(Throwable e) {
    boolean reached = !(e instanceof ConnectException || e instanceof UnknownHostException || e instanceof NoRouteToHostException);
    return End.cut(e.getClass().getSimpleName() + ": " + e.getMessage(), reached);
  }

  /** Reads the answer to a refused request. */
  static End refusal(Response response) {
    String[] said = JsonFrames.error(some(response));
    long retryAfter = End.readRetryAfter(response.header("Retry-After"));
    return End.ofHttpError(response.code(), said == null ? "" : said[0], said == null ? "" : said[1], retryAfter);
  }

  /** The begin of a body; what has come may do. */
  private static String some(Response response) {
    Buffer body = new Buffer();
    try {
      BufferedSource source = response.body().source();
      while (body.size() < Frame.MAX_ERROR_BODY && source.read(body, Frame.MAX_ERROR_BODY - body.size()) >= 0) {
        // goes on
      }
    } catch (IOException e) {
      // the status counts
    }
    return body.readString(StandardCharsets.UTF_8);
  }

  /** All of a body. onRead is called for each part of it. */
  static String all(Response response, int limit, Runnable onRead) throws IOException, FrameException {
    Buffer body = new Buffer();
    BufferedSource source = response.body().source();
    while (source.read(body, 64 << 10) >= 0) {
      onRead.run();
      if (body.size() > limit) {
        throw new FrameException("the answer is over " + limit + " bytes");
      }
    }
    return body.readString(StandardCharsets.UTF_8);
  }

  /** Without parameters, in lower case. */
  static String contentType(Response response) {
    String value = response.header("Content-Type");
    return value == null ? "" : value.split(";", 2)[0].trim().toLowerCase(java.util.Locale.ROOT);
  }
}
