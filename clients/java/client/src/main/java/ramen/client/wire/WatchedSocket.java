package ramen.client.wire;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.Socket;
import java.util.function.IntConsumer;

/** A socket that tells how many bytes each read brought. */
final class WatchedSocket extends Socket {
  private final IntConsumer read;
  private InputStream in; // guarded by this

  WatchedSocket(IntConsumer read) {
    this.read = read;
  }

  @Override
  public synchronized InputStream getInputStream() throws IOException {
    if (in == null) {
      in = new Watched(super.getInputStream(), read);
    }
    return in;
  }

  private static final class Watched extends FilterInputStream {
    private final IntConsumer read;

    Watched(InputStream in, IntConsumer read) {
      super(in);
      this.read = read;
    }

    @Override
    public int read() throws IOException {
      int b = super.read();
      tell(b < 0 ? 0 : 1);
      return b;
    }

    @Override
    public int read(byte[] to, int offset, int length) throws IOException {
      int n = super.read(to, offset, length);
      tell(n);
      return n;
    }

    private void tell(int n) {
      if (n > 0) {
        read.accept(n);
      }
    }
  }
}
