package ramen.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static ramen.client.Fixture.longs;

import java.time.Duration;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import ramen.client.Stats.Count;
import ramen.client.wire.End;

/** The rules of clients/SPEC.md, in virtual time. */
class RulesTest {
  private static final Transport WS = Transport.WS_PROTO;

  @Test
  void plainLife() { // C 2.6, 5.8, 8.6, 12.1, 12.5
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    c.push(1, 2);
    f.loop.pass(99);
    assertEquals(longs(), c.acks);
    f.loop.pass(1);
    assertEquals(longs(2L), c.acks, "joined within 100 ms");
    assertEquals("k2", f.device.cursor());
    c.push(3);
    f.loop.pass(0);
    f.device.stop();
    f.loop.pass(0);
    assertEquals(longs(2L, 3L), c.acks, "closing acks");
    assertTrue(c.finished && c.closed);
    assertEquals(Arrays.asList("connecting", "online", "hello", "stopped", "closed closed"), f.told);
    assertEquals(Arrays.asList("m1", "m2", "m3"), f.handled);
    assertTrue(f.device.ended().isDone());
  }

  @Test
  void halfAWindowIsAckedAtOnce() { // C 12.1, 12.2
    for (Transport t : new Transport[] {WS, Transport.SSE}) {
      Fixture f = new Fixture(b -> b.window(4), t);
      Fixture.FakeConn c = f.online();
      c.push(1, 2);
      f.loop.pass(0);
      assertEquals(longs(2L), c.acks, t + "");
    }
  }

  @Test
  void sseAcksAtThreeQuartersOfItsTime() { // C 12.2
    Fixture f = new Fixture(Transport.SSE);
    Fixture.FakeConn c = f.online();
    c.push(1);
    for (int i = 0; i < 5; i++) {
      f.loop.pass(4_000);
      c.heartbeat();
    }
    f.loop.pass(2_499);
    assertEquals(longs(), c.acks);
    f.loop.pass(1);
    assertEquals(longs(1L), c.acks);
  }

  @Test
  void oneAckIsUnderWayAtATimeAndAFailureIsTriedAgain() { // C 12.2
    Fixture f = new Fixture(b -> b.window(2), Transport.SSE);
    Fixture.FakeConn c = f.online();
    c.answersAcks = false;
    c.push(1, 2);
    f.loop.pass(0);
    assertEquals(longs(1L), c.acks);
    c.waiting.acked(End.cut("lost", true), false);
    f.loop.pass(999);
    assertEquals(longs(1L), c.acks, "after C 7.1");
    f.loop.pass(1);
    assertEquals(longs(1L, 2L), c.acks, "with what was processed meanwhile");
    c.waiting.acked(End.of(End.By.DEVICE, "400"), true);
    f.loop.pass(0);
    assertTrue(c.closed, "the server does not know the place");
    assertEquals("waiting", f.state());
  }

  @Test
  void pausesDoubleAndStartAnewAfterAStableStream() { // C 7.1, 7.2
    Fixture f = new Fixture(b -> b.fallbackAfter(100), WS);
    f.device.start();
    f.loop.pass(0);
    for (long bound : new long[] {1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000}) {
      f.last().cut();
      f.loop.pass(0);
      assertEquals(bound, f.device.state().delayMs());
      f.loop.pass(bound);
    }
    f.last().hello(0);
    for (int i = 0; i < 8; i++) {
      f.loop.pass(4_000);
      f.last().heartbeat();
    }
    f.loop.pass(0);
    f.last().cut();
    f.loop.pass(0);
    assertEquals(1_000, f.device.state().delayMs());
  }

  @Test
  void retryAfterComesBeforeThePause() { // C 7.3
    Fixture f = new Fixture(WS);
    f.answers.add(c -> c.end(End.ofHttpError(503, "unavailable", "busy", 3_000)));
    f.device.start();
    f.loop.pass(0);
    assertEquals(4_000, f.device.state().delayMs());
  }

  @Test
  void silenceKillsAndBytesAreSignsOfLife() { // C 4.3, 4.4
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    for (int i = 0; i < 5; i++) {
      f.loop.pass(6_900);
      c.trickle();
    }
    f.loop.pass(6_999);
    assertFalse(c.closed);
    f.loop.pass(2);
    assertTrue(c.closed);
    assertEquals(1, f.device.stats().get(Count.SILENCES));
  }

  @Test
  void silenceDoublesWhereBytesAreNotSeen() { // C 4.5
    Fixture f = new Fixture(Transport.GRPC);
    for (int i = 0; i < 6; i++) {
      f.answers.add(c -> c.hello(0));
    }
    f.device.start();
    f.loop.pass(0);
    for (long silence : new long[] {7_000, 14_000, 28_000, 28_000}) {
      Fixture.FakeConn c = f.last();
      f.loop.pass(silence - 100);
      assertFalse(c.closed, "after " + silence);
      f.loop.pass(101);
      assertTrue(c.closed, "after " + silence);
      f.loop.pass(f.device.state().delayMs());
    }
    f.last().push(1);
    f.loop.pass(0);
    f.last().cut();
    f.loop.pass(0);
    f.loop.pass(f.device.state().delayMs());
    Fixture.FakeConn fresh = f.last();
    f.loop.pass(7_001);
    assertTrue(fresh.closed, "a push has come");
  }

  @Test
  void lateTimerIsJudgedByWhatWasRead() { // C 4.6
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    f.loop.suspend(60_000);
    f.loop.pass(100);
    assertFalse(c.closed, "reading has time to catch up");
    c.heartbeat();
    f.loop.pass(6_000);
    assertFalse(c.closed);
    f.loop.pass(2_000);
    assertTrue(c.closed);
  }

  @Test
  void heartbeatsAreEchoedWhateverTheHandlerDoes() { // C 4.7, 5.4
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    f.handling.add(new CompletableFuture<>());
    c.push(1, 2).heartbeat();
    f.loop.pass(0);
    assertEquals(longs(7L), c.echoes);
    assertEquals(Arrays.asList("m1"), f.handled);
  }

  @Test
  void noHelloInTime() { // C 3.3
    Fixture f = new Fixture(WS);
    f.device.start();
    f.loop.pass(5_000);
    f.last().trickle(); // before hello no byte buys time
    f.loop.pass(5_001);
    assertTrue(f.conns.get(0).closed);
  }

  @Test
  void gapLetsGoOfTheStream() { // C 4.2
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    c.push(1, 3);
    f.loop.pass(0);
    assertTrue(c.closed);
    assertEquals(1, f.device.stats().get(Count.GAPS));
  }

  @Test
  void pushBeforeHelloIsNoStream() { // C 3.4
    Fixture f = new Fixture(WS);
    f.answers.add(c -> c.push(1));
    f.device.start();
    f.loop.pass(0);
    assertEquals("waiting", f.state());
    assertEquals(Arrays.asList(), f.handled);
  }

  @Test
  void handlerThatFails() { // C 5.3, 12.4
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    f.handling.add(CompletableFuture.completedFuture(null));
    f.handling.add(Fixture.failed());
    c.push(1, 2, 3);
    f.loop.pass(0);
    assertEquals(longs(1L), c.acks);
    assertTrue(c.closed);
    assertEquals(Arrays.asList("m1", "m2"), f.handled);
    assertTrue(f.told.contains("error handler"));
    assertEquals("k1", f.device.cursor());
    f.answers.add(n -> n.hello(1).push(2, 3));
    f.loop.pass(1_200);
    assertEquals(Arrays.asList("m1", "m2", "m2", "m3"), f.handled);
    assertEquals("k1", f.last().opening.cursor);
  }

  @Test
  void processedIdsAreRemembered() { // C 5.2
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    for (long seq = 1; seq <= 2_048; seq++) {
      c.push(seq);
      f.loop.pass(0);
    }
    c.cut();
    f.answers.add(n -> n.hello(0).push(1));
    f.loop.pass(2_000);
    assertEquals(2_048, f.handled.size());
    assertEquals(1, f.device.stats().get(Count.DUPLICATES));
    assertEquals(longs(1L), f.last().acks);
  }

  @Test
  void whatADeadStreamBroughtComesAgain() { // C 5.5, 5.7
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    CompletableFuture<Void> first = new CompletableFuture<>();
    f.handling.add(first);
    c.push(1, 2);
    f.loop.pass(0);
    c.cut();
    f.answers.add(n -> n.hello(0).push(1, 2));
    f.loop.pass(2_000);
    assertEquals(Arrays.asList("m1"), f.handled, "no second call beside the first");
    first.complete(null);
    f.loop.pass(200);
    assertEquals(Arrays.asList("m1", "m2"), f.handled);
    assertEquals(longs(2L), f.last().acks);
  }

  @Test
  void serverThatSendsMoreThanTheWindow() { // C 4.8
    Fixture f = new Fixture(b -> b.window(2), WS);
    Fixture.FakeConn c = f.online();
    f.handling.add(new CompletableFuture<>());
    c.push(1, 2, 3, 4);
    f.loop.pass(0);
    assertTrue(c.closed);
  }

  @Test
  void drainOpensTheNextBesideTheOld() { // C 3.7, 5.7, 6.3
    Fixture f = new Fixture(WS);
    Fixture.FakeConn old = f.online();
    f.answers.add(c -> c.hello(1));
    old.goaway("drain", 5_000).push(1);
    f.loop.pass(4_999);
    assertEquals(1, f.conns.size());
    old.heartbeat();
    f.loop.pass(1);
    assertEquals(2, f.conns.size());
    assertFalse(old.closed, "it is read until the server ends it");
    old.end(End.said("superseded", "", 0, 0));
    f.loop.pass(100);
    assertEquals("online", f.state());
    assertEquals(1, f.told.stream().filter("online"::equals).count(), "it does not change the state");
  }

  @Test
  void thirdLeavingStreamEndsTheOldest() { // C 3.7
    Fixture f = new Fixture(WS);
    f.online();
    for (int i = 0; i < 3; i++) {
      f.answers.add(c -> c.hello(0));
      f.last().goaway("rebalance", 1);
      f.loop.pass(10);
    }
    assertTrue(f.conns.get(0).closed);
    assertFalse(f.conns.get(1).closed);
  }

  @Test
  void drainWithoutATimeSoonAfterHello() { // C 7.4
    Fixture f = new Fixture(WS);
    f.online().goaway("drain", 0);
    f.loop.pass(0);
    assertEquals(longs(1_000L), f.bounds);
  }

  @Test
  void finalEnds() { // C 6.1, 6.2
    for (String reason : new String[] {"superseded", "disconnected", "unauthenticated", "permission_denied"}) {
      Fixture f = new Fixture(WS);
      f.online().goaway(reason, 0);
      f.loop.pass(60_000);
      assertEquals("stopped", f.state(), reason);
      assertTrue(f.told.contains("closed " + reason), reason);
      assertEquals(1, f.conns.size(), reason);
      assertTrue(f.device.ended().isCompletedExceptionally(), reason);
    }
    Fixture f = new Fixture(WS);
    f.online().goaway("invalid_argument", 0);
    f.loop.pass(0);
    assertEquals("waiting", f.state(), "of a live stream");
  }

  @Test
  void closeCodesThatAreNotKnown() { // C 6.1, SPEC 6.3.15
    for (int code : new int[] {4444, 4499}) {
      Fixture f = new Fixture(WS);
      f.online().end(End.ofCloseCode(code, ""));
      f.loop.pass(60_000);
      assertTrue(f.told.contains("closed disconnected"), code + ": " + f.told);
    }
    for (int code : new int[] {4500, 4599}) {
      End end = End.ofCloseCode(code, "");
      assertEquals("unavailable", end.reason, code + "");
      assertFalse(end.countsForTransport(), code + "");
    }
    for (int code : new int[] {1000, 4399, 4600}) {
      assertTrue(End.ofCloseCode(code, "").countsForTransport(), code + "");
    }
  }

  @Test
  void supersededByItsOwnOpening() { // C 6.3
    Fixture f = new Fixture(b -> b.fallbackAfter(9), WS);
    f.device.start();
    f.loop.pass(10_001); // the first opening hangs, and may have reached the server
    f.answers.add(c -> c.hello(0));
    f.loop.pass(1_000);
    f.last().goaway("superseded", 0);
    f.loop.pass(0);
    assertEquals("waiting", f.state());
  }

  @Test
  void fallsBackAndTriesThePreferredAgain() { // C 11.2 to 11.4
    Fixture f = new Fixture(WS, Transport.SSE);
    f.answers.add(Fixture.FakeConn::cut);
    f.answers.add(Fixture.FakeConn::cut);
    f.answers.add(c -> c.hello(0));
    f.device.start();
    f.loop.pass(4_000);
    assertEquals(Arrays.asList(WS, WS, Transport.SSE), f.opened());
    assertEquals(1, f.device.stats().get(Count.FALLBACKS));
    Fixture.FakeConn sse = f.last();
    f.answers.add(Fixture.FakeConn::cut); // a trial that fails
    beat(f, sse, 301_000);
    assertEquals(4, f.conns.size());
    assertEquals("online", f.state());
    beat(f, sse, 590_000);
    assertEquals(4, f.conns.size(), "twice the time");
    f.answers.add(c -> c.hello(0));
    beat(f, sse, 12_000);
    assertEquals(WS, f.last().transport);
    assertEquals(WS, f.device.state().transport());
  }

  private static void beat(Fixture f, Fixture.FakeConn c, long ms) {
    for (long left = ms; left > 0; left -= 4_000) {
      f.loop.pass(Math.min(left, 4_000));
      c.heartbeat();
    }
    f.loop.pass(0);
  }

  @Test
  void answersOfTheServersAreNoFallback() { // C 11.2
    Fixture f = new Fixture(WS, Transport.SSE);
    for (int i = 0; i < 5; i++) {
      f.answers.add(c -> c.end(End.said("unavailable", "", 0, 0)));
    }
    f.device.start();
    f.loop.pass(20_000);
    assertFalse(f.opened().contains(Transport.SSE));
  }

  @Test
  void network() { // C 2.5, 7.6, 10.1, 10.2
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    f.device.network(false, false);
    f.loop.pass(0);
    assertEquals("online", f.state(), "a platform's word is a hint");
    c.cut();
    f.loop.pass(60_000);
    assertEquals("offline", f.state());
    assertEquals(1, f.conns.size());
    f.answers.add(n -> n.hello(0));
    f.device.network(true, false);
    f.loop.pass(1_000);
    assertEquals("online", f.state());
    Fixture.FakeConn good = f.last();
    f.device.network(true, true);
    f.loop.pass(4_900);
    good.heartbeat();
    f.loop.pass(6_900);
    assertFalse(good.closed, "the path is good");
    good.heartbeat();
    f.device.network(true, true);
    f.loop.pass(4_999);
    assertFalse(good.closed);
    f.loop.pass(2);
    assertTrue(good.closed, "five sevenths of the time");
    f.device.reconnect();
    int before = f.conns.size();
    f.loop.pass(0);
    assertEquals(before + 1, f.conns.size());
  }

  @Test
  void reload() { // C 8.1, 8.6
    Fixture f = new Fixture(WS);
    f.answers.add(c -> c.hello(0, false, 0));
    f.device.start();
    f.loop.pass(0);
    assertFalse(f.told.contains("reload 0"), "a first stream ever");
    assertEquals("k0", f.device.cursor());
    f.last().cut();
    f.answers.add(c -> c.hello(9, false, 2));
    f.loop.pass(1_000);
    assertTrue(f.told.contains("reload 2"));
    assertEquals("k9", f.device.cursor());
  }

  @Test
  void contextIsHandedOver() { // C 13.4, SPEC 6.2.5
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    assertEquals("java", c.opening.context.labels().get("client"));
    assertEquals(Version.VERSION, c.opening.context.labels().get("client_version"));
    f.device.context(DeviceContext.builder().locale("uk").build());
    f.loop.pass(0);
    assertEquals(Arrays.asList(" {locale=uk}"), c.refreshes);
    Fixture sse = new Fixture(Transport.SSE);
    sse.online();
    sse.answers.add(n -> n.hello(0));
    sse.device.context(DeviceContext.builder().locale("uk").build());
    sse.loop.pass(0);
    assertEquals(2, sse.conns.size());
    assertEquals("uk", sse.last().opening.context.fields().get("locale"));
  }

  @Test
  void batteryIsSavedOnceThatHasLasted() { // SPEC 2.8.5
    Fixture f = new Fixture(b -> b.heartbeatWhenSaving(Duration.ofSeconds(60)), WS);
    Fixture.FakeConn c = f.online();
    f.answers.add(n -> n.hello(0));
    f.device.saving(true);
    beat(f, c, 20_000);
    f.device.saving(false);
    beat(f, c, 40_000);
    assertEquals(1, f.conns.size(), "a flicker costs nothing");
    f.device.saving(true);
    beat(f, c, 30_000);
    assertEquals(60_000, f.last().opening.heartbeatMs);
    assertEquals("online", f.state());
    assertEquals(2, f.conns.size());
  }

  @Test
  void closeInEveryState() { // C 12.6
    Fixture waiting = new Fixture(WS);
    waiting.online().cut();
    waiting.loop.pass(0);
    Fixture connecting = new Fixture(WS);
    connecting.device.start();
    connecting.loop.pass(0);
    Fixture offline = new Fixture(WS);
    offline.online().cut();
    offline.device.network(false, false);
    offline.loop.pass(0);
    for (Fixture f : new Fixture[] {waiting, connecting, offline}) {
      f.device.stop();
      f.device.stop();
      f.loop.pass(60_000);
      assertEquals("stopped", f.state());
      assertEquals(1, f.conns.size());
      assertTrue(f.conns.get(0).closed);
      assertEquals(1, f.told.stream().filter("closed closed"::equals).count());
    }
  }

  @Test
  void handlerHasItsTimeToReturn() { // C 12.6
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    CompletableFuture<Void> first = new CompletableFuture<>();
    f.handling.add(first);
    c.push(1, 2);
    f.loop.pass(0);
    f.device.stop();
    f.loop.pass(4_999);
    assertFalse(c.finished, "the last ack waits for it");
    first.complete(null);
    f.loop.pass(0);
    assertEquals(longs(1L), c.acks);
    assertEquals("stopped", f.state());
    assertEquals(Arrays.asList("m1"), f.handled, "no further message is begun");
  }

  @Test
  void onlyTheLastStateWaitsForAHandlerThatTakesLonger() { // C 12.6
    Fixture f = new Fixture(WS);
    Fixture.FakeConn c = f.online();
    CompletableFuture<Void> second = new CompletableFuture<>();
    f.handling.add(CompletableFuture.completedFuture(null));
    f.handling.add(second);
    c.push(1, 2);
    f.loop.pass(0);
    f.device.stop();
    f.loop.pass(5_000);
    assertEquals(longs(1L), c.acks);
    assertTrue(c.finished && c.closed, "the stream ends");
    f.loop.pass(60_000);
    assertEquals("online", f.state());
    assertFalse(f.device.ended().isDone());
    second.complete(null);
    f.loop.pass(0);
    assertEquals("stopped", f.state());
    assertTrue(f.device.ended().isDone());
    assertEquals("k2", f.device.cursor(), "it is processed");
    f.answers.add(n -> n.hello(1).push(2));
    f.device.start();
    f.loop.pass(0);
    assertEquals(Arrays.asList("m1", "m2"), f.handled, "and remembered");
  }

  @Test
  void deviceThatHasEndedMayBeStartedAgain() { // C 6.2
    Fixture f = new Fixture(WS);
    f.online().push(1);
    f.loop.pass(0);
    f.last().goaway("disconnected", 0);
    f.loop.pass(0);
    assertEquals("stopped", f.state());
    f.online().push(1);
    f.loop.pass(0);
    assertEquals("k1", f.last().opening.cursor);
    assertEquals(Arrays.asList("m1"), f.handled, "ids are remembered");
    assertEquals(1, f.device.stats().get(Count.DUPLICATES));
  }

  @Test
  void wrongSettingsAreRefused() { // C 13.3
    SettingException e = assertThrows(SettingException.class, () -> RamenDevice.builder("ftp://x"));
    assertEquals("url is \"ftp://x\": use http://host:port or https://host:port", e.getMessage());
    RamenDevice.Builder b = RamenDevice.builder("http://127.0.0.1:1");
    assertThrows(SettingException.class, b::build, "no user and no token");
    assertThrows(SettingException.class, () -> b.user("a b"));
    assertThrows(SettingException.class, () -> b.heartbeat(Duration.ofMillis(999)));
    assertThrows(SettingException.class, () -> b.user("u").device("d").transports(Transport.GRPC).build());
    assertThrows(SettingException.class, () -> b.context(DeviceContext.builder().app(new String(new char[1025]).replace('\0', 'x')).build()));
  }
}
