package ramen.client.internal;

import java.nio.charset.StandardCharsets;
import java.util.Base64;
import ramen.client.TokenSource;
import ramen.client.wire.End;
import ramen.client.wire.FrameException;
import ramen.client.wire.JsonObject;

/** Asks the app for tokens, and never hands out one that the server has refused. A token is never stored, logged or put in an error. C 9 */
final class Tokens {
  private final TokenSource source; // null: there is none
  private final Loop loop;
  private final long limitMs; // of one question
  private String refused = "";

  Tokens(TokenSource source, Loop loop, long limitMs) {
    this.source = source;
    this.loop = loop;
    this.limitMs = limitMs;
  }

  boolean hasSource() {
    return source != null;
  }

  /** What came of a question. */
  interface Answer {
    /** failure: null where there is a token. */
    void token(String token, End failure);
  }

  /** The token to open a stream with; empty where the app has given none. The answer comes in the loop, and maybe within this call. */
  void next(Answer answer) {
    if (source == null) {
      answer.token("", null);
      return;
    }
    Calls.within(loop, limitMs, source::token, (token, error) -> check(token, error, answer));
  }

  private void check(String token, Throwable error, Answer answer) {
    if (error != null) {
      answer.token("", End.noToken("the token source failed: " + error.getClass().getSimpleName()));
    } else if (token == null) {
      answer.token("", End.noToken("the token source answered null"));
    } else if (!token.isEmpty() && token.equals(refused)) {
      answer.token("", End.noToken("the server has refused the current token, and there is no other yet"));
    } else {
      answer.token(token, null);
    }
  }

  /** The server does not take this token. */
  void refuse(String token) {
    if (!token.isEmpty()) {
      refused = token;
    }
  }

  /** When a JWT ends, in ms since 1970; 0 where it cannot be told. It is read, not verified: that is the server's part. */
  static long expiry(String token) {
    String[] parts = token.split("\\.", -1);
    if (parts.length != 3) {
      return 0;
    }
    try {
      String claims = new String(Base64.getUrlDecoder().decode(parts[1]), StandardCharsets.UTF_8);
      String exp = JsonObject.of(claims).raw("exp");
      double seconds = exp == null ? 0 : Double.parseDouble(exp);
      return seconds > 0 && seconds < 1L << 40 ? (long) (seconds * 1000) : 0;
    } catch (IllegalArgumentException | FrameException e) {
      return 0;
    }
  }

  /** How long before its end a token that has so long to live is renewed: a tenth, at least 1 s and at most 60 s. C 9.2 */
  static long lead(long leftMs) {
    return Math.min(Math.max(leftMs / 10, 1_000), 60_000);
  }
}
