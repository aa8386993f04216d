package ramen.client;

/** Answers the device's token. C 9 */
@FunctionalInterface
public interface TokenSource {
  /**
   * The token to open a stream with. It is asked at each opening, shortly before the token in use expires, and after a refusal until it answers with
   * another. It may block, for as long as the connect timeout. One that throws fails the attempt, and is asked again after a pause.
   */
  String token() throws Exception;
}
