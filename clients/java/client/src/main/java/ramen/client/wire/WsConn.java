package ramen.client.wire;

import java.net.Socket;
import javax.net.SocketFactory;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.WebSocket;
import okhttp3.WebSocketListener;
import okio.ByteString;
import ramen.client.DeviceContext;
import ramen.client.internal.Loop;

/** A stream over WebSocket: SPEC 6. A thread of OkHttp's reads, another writes what is sent. */
public final class WsConn extends WebSocketListener implements Conn {
  private static final String JSON = "ramen.v1.json";
  private static final String PROTO = "ramen.v1.proto";

  /** How long a socket may take to be closed in order. */
  private static final long CLOSE_MS = 1_000;

  private final Events events;
  private final Loop loop;
  private final OkHttpClient client;
  private final WebSocket socket;
  private final WatchedSockets sockets; // null: the app has sockets of its own
  private volatile boolean proto;
  private volatile boolean over;
  private volatile Runnable finished;
  private String token;

  public WsConn(Http http, Opening opening, boolean proto, Loop loop, Events events) {
    this.events = events;
    this.loop = loop;
    this.token = opening.token;
    OkHttpClient.Builder b = http.newClient().newBuilder();
    // Offers no permessage-deflate: a phone's battery and memory are worth more than the few bytes of small messages. C 3.6
    b.addInterceptor(chain -> chain.proceed(chain.request().newBuilder().removeHeader("Sec-WebSocket-Extensions").build()));
    boolean plain = b.build().socketFactory() == SocketFactory.getDefault();
    this.sockets = plain ? new WatchedSockets(events, this::tooLong) : null;
    if (plain) {
      b.socketFactory(sockets);
    }
    this.client = b.build();
    Request request =
        http.request(http.open("ramen/ws", opening).build(), opening.token).header("Sec-WebSocket-Protocol", proto ? PROTO : JSON).build();
    this.socket = client.newWebSocket(request, this);
  }

  // What OkHttp tells, in its reading thread.

  @Override
  public void onOpen(WebSocket socket, Response response) {
    proto = PROTO.equals(response.header("Sec-WebSocket-Protocol")); // a server without it falls back to JSON. SPEC 6.1.3
  }

  @Override
  public void onMessage(WebSocket socket, String text) {
    take(text.isEmpty(), () -> JsonFrames.textFrame(text));
  }

  @Override
  public void onMessage(WebSocket socket, ByteString bytes) {
    take(bytes.size() == 0, () -> ProtoFrames.serverFrame(bytes.toByteArray()));
  }

  private interface Decoder {
    Frame decode() throws FrameException;
  }

  private void take(boolean empty, Decoder decoder) {
    events.alive();
    if (sockets != null) {
      sockets.newMessage();
    }
    try {
      Frame frame = empty ? new Frame.Heartbeat(0) : decoder.decode(); // SPEC 6.2.6
      if (frame != null) {
        events.frame(frame);
      }
    } catch (FrameException e) {
      events.ended(End.cut("not a frame of the contract: " + e.getMessage(), true));
    }
  }

  private void tooLong() {
    events.ended(End.cut("a frame is over " + Frame.MAX + " bytes", true));
    socket.cancel();
  }

  @Override
  public void onClosing(WebSocket socket, int code, String reason) {
    events.ended(End.ofCloseCode(code, reason));
    socket.close(1000, null);
  }

  @Override
  public void onClosed(WebSocket socket, int code, String reason) {
    over();
  }

  @Override
  public void onFailure(WebSocket socket, Throwable t, Response response) {
    events.ended(response != null && response.code() != 101 ? Http.refusal(response) : Http.lost(t));
    over();
  }

  private void over() {
    over = true;
    Runnable done = finished;
    if (done != null) {
      done.run();
    }
    client.connectionPool().evictAll();
  }

  // What the device does.

  @Override
  public String token() {
    return token;
  }

  /** By what was seen: a TLS library may read past the socket that watches. */
  @Override
  public boolean seesBytes() {
    return sockets != null && sockets.haveSeen();
  }

  @Override
  public void ack(long seq, String cursor, Acked done) {
    String place = seq > 0 ? "" : cursor;
    if (proto) {
      socket.send(ByteString.of(ProtoFrames.ack(seq, place)));
    } else {
      socket.send(JsonFrames.ack(seq, place));
    }
    done.acked(null, false); // where it could not be sent, the reader has the cause
  }

  @Override
  public void echo(long timeMs) {
    if (proto) {
      socket.send(ByteString.EMPTY);
    } else {
      socket.send("");
    }
  }

  @Override
  public boolean refresh(String token, DeviceContext context) {
    this.token = token;
    if (proto) {
      socket.send(ByteString.of(ProtoFrames.refresh(token, context)));
    } else {
      socket.send(JsonFrames.refresh(token, context));
    }
    return true;
  }

  /** What was sent before goes out before the close frame. */
  @Override
  public void finish(Runnable done) {
    finished = done;
    if (over || !socket.close(1000, null)) {
      done.run();
    }
  }

  /** A word of farewell where the socket takes it. */
  @Override
  public void close() {
    socket.close(1000, null);
    loop.schedule(CLOSE_MS, socket::cancel);
  }

  @Override
  public void abandon() {
    socket.cancel();
  }

  /** Sockets that tell of every byte that comes in, so that those of an incomplete frame count. C 4.3 */
  private static final class WatchedSockets extends SocketFactory {
    private final Events events;
    private final Runnable tooLong;
    private volatile boolean seen;
    private volatile long sinceMessage; // written by the reading thread alone

    WatchedSockets(Events events, Runnable tooLong) {
      this.events = events;
      this.tooLong = tooLong;
    }

    boolean haveSeen() {
      return seen;
    }

    void newMessage() {
      sinceMessage = 0;
    }

    @SuppressWarnings("NonAtomicVolatileUpdate")
    private void read(int n) {
      seen = true;
      events.alive();
      sinceMessage += n;
      if (sinceMessage > Frame.MAX + (64 << 10)) { // a message and the begin of the next: C 4.9
        tooLong.run();
      }
    }

    @Override
    public Socket createSocket() {
      return new WatchedSocket(this::read);
    }

    @Override
    public Socket createSocket(String host, int port) {
      throw new UnsupportedOperationException();
    }

    @Override
    public Socket createSocket(String host, int port, java.net.InetAddress local, int localPort) {
      throw new UnsupportedOperationException();
    }

    @Override
    public Socket createSocket(java.net.InetAddress host, int port) {
      throw new UnsupportedOperationException();
    }

    @Override
    public Socket createSocket(java.net.InetAddress host, int port, java.net.InetAddress local, int localPort) {
      throw new UnsupportedOperationException();
    }
  }
}
