package ramen.client.wire;

import java.io.IOException;
import java.util.concurrent.TimeUnit;
import okhttp3.Call;
import okhttp3.Callback;
import okhttp3.HttpUrl;
import okhttp3.OkHttpClient;
import okhttp3.RequestBody;
import okhttp3.Response;

/** An ack as a request of its own. SPEC 5.5 */
final class AckCall {
  private static final long TIMEOUT_MS = 10_000;

  private AckCall() {}

  static void post(OkHttpClient client, Http http, HttpUrl address, String token, Conn.Acked done) {
    Call call = client.newCall(http.request(address, token).post(RequestBody.create(new byte[0])).build());
    call.timeout().timeout(TIMEOUT_MS, TimeUnit.MILLISECONDS);
    call.enqueue(
        new Callback() {
          @Override
          public void onFailure(Call call, IOException e) {
            done.acked(Http.lost(e), false);
          }

          @Override
          public void onResponse(Call call, Response response) {
            try (Response r = response) {
              boolean well = r.code() >= 200 && r.code() < 300;
              done.acked(well ? null : Http.refusal(r), r.code() == 400 || r.code() == 404); // C 12.2
            }
          }
        });
  }
}
