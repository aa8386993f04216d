package ramen.client.publish;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import ramen.client.Message;

/**
 * The server, over one of its two ports. Futures complete with PublishException where the server refused, and NoAnswerException, after timeoutMs at the
 * latest, in any thread.
 */
public interface Backend {
  /** A message for some of its users, ready to go. */
  byte[] encode(Publication p, List<String> users);

  /** Sends messages as one request; all their answers, in order. */
  CompletableFuture<List<Answer>> exchange(List<byte[]> encoded, long timeoutMs);

  CompletableFuture<Boolean> recall(String user, String id, long timeoutMs);

  CompletableFuture<Integer> disconnect(String user, String device, String detail, long timeoutMs);

  CompletableFuture<List<KnownDevice>> devices(String user, long timeoutMs);

  CompletableFuture<List<Message>> messages(String user, long timeoutMs);

  void close();

  /** The server's word on one message and user. SPEC 8.3.3 */
  final class Answer {
    final String status;
    final int devices;
    final PublishException error;

    public Answer(String status, int devices, String code, String message) {
      this.status = status;
      this.devices = devices;
      boolean named = code != null && !code.isEmpty();
      this.error = new PublishException(named ? code : "invalid_argument", message == null || message.isEmpty() ? "rejected without a reason" : message, 0);
    }
  }

  /** Whether there was something to recall, of a call that may be refused as not_found. */
  static CompletableFuture<Boolean> found(CompletableFuture<Boolean> recalled) {
    return recalled.handle(
        (found, error) -> {
          Throwable cause = error instanceof CompletionException ? error.getCause() : error;
          if (cause instanceof PublishException && ((PublishException) cause).code().equals("not_found")) {
            return false;
          }
          if (cause != null) {
            throw new CompletionException(cause);
          }
          return found;
        });
  }
}
