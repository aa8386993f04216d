package ramen.client;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import ramen.client.wire.Cursors;

/** A place in a file of its own, one a device. The file is replaced whole; it is not synced, see {@link CursorStore}. */
public final class FileCursorStore implements CursorStore {
  private static final int MOST = 1024;
  private final File file;

  public FileCursorStore(File file) {
    this.file = file.getAbsoluteFile();
  }

  /** Throws IOException where the file holds something else than a cursor, since it is somebody else's. */
  @Override
  public String load() throws IOException {
    byte[] raw = new byte[MOST + 1];
    int n = 0;
    try (InputStream in = new FileInputStream(file)) {
      for (int read; n < raw.length && (read = in.read(raw, n, raw.length - n)) > 0; ) {
        n += read;
      }
    } catch (FileNotFoundException e) {
      return null;
    }
    String text = new String(raw, 0, n, StandardCharsets.ISO_8859_1).replace('\0', ' ').trim(); // a power cut may leave zeros
    if (n > MOST || (!text.isEmpty() && !Cursors.valid(text))) {
      throw new IOException(file + " holds no cursor: remove it, or name another file");
    }
    return text.isEmpty() ? null : text;
  }

  @Override
  public void save(String cursor) throws IOException {
    Path temporary = Files.createTempFile(file.getParentFile().toPath(), file.getName() + ".", ".tmp");
    try {
      Files.write(temporary, (cursor + "\n").getBytes(StandardCharsets.US_ASCII));
      Files.move(temporary, file.toPath(), StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(temporary);
    }
  }
}
