package ramen.client.wire;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import ramen.client.DeviceContext;
import ramen.client.Message;
import ramen.client.Priority;

/** The golden vectors of protocol/testdata, which every client reads. */
class GoldenTest {
  private static final File TESTDATA = new File(System.getProperty("ramen.testdata", "../../../protocol/testdata"));

  private static List<JsonObject> load(String name) throws IOException, FrameException {
    byte[] raw = Files.readAllBytes(new File(TESTDATA, name).toPath());
    return JsonObject.of("{\"all\":" + new String(raw, StandardCharsets.UTF_8) + "}").objects("all");
  }

  private interface Check {
    void check(JsonObject v) throws Exception;
  }

  private static Stream<DynamicTest> each(String file, Check check, String... members) throws Exception {
    List<DynamicTest> tests = new ArrayList<>();
    for (JsonObject v : load(file)) {
      if (members.length == 0 || Arrays.stream(members).anyMatch(v::has)) {
        tests.add(DynamicTest.dynamicTest(v.string("name"), () -> check.check(v)));
      }
    }
    assertTrue(tests.size() >= 2, file + " has vectors");
    return tests.stream();
  }

  private static final String[] SERVER = {"hello", "push", "goaway", "heartbeat_time_ms"};

  @TestFactory
  Stream<DynamicTest> serverFrameInProtobuf() throws Exception {
    return each("frames.json", v -> expect(v, ProtoFrames.serverFrame(hex(v.string("proto_hex"))), true), SERVER);
  }

  @TestFactory
  Stream<DynamicTest> serverFrameInJson() throws Exception {
    return each("frames.json", v -> expect(v, JsonFrames.textFrame(v.string("json")), false), SERVER);
  }

  @TestFactory
  Stream<DynamicTest> serverFrameOverSse() throws Exception {
    return each(
        "frames.json",
        v -> {
          byte[] raw = v.string("sse").getBytes(StandardCharsets.UTF_8);
          List<EventParser.Event> events = new EventParser(Frame.MAX).feed(raw, raw.length);
          if (v.has("heartbeat_time_ms")) {
            assertEquals(0, events.size(), "bytes, but no event");
            return;
          }
          assertEquals(1, events.size());
          expect(v, JsonFrames.event(events.get(0)), true);
          assertEquals(v.number("retry_ms"), events.get(0).retryMs);
        },
        SERVER);
  }

  private static void expect(JsonObject v, Frame got, boolean timeSent) throws FrameException {
    if (v.has("hello")) {
      JsonObject h = v.object("hello");
      Frame.Hello want = new Frame.Hello();
      want.resumed = h.bool("resumed");
      want.stream = h.string("stream");
      want.seq = h.number("seq");
      want.heartbeatMs = h.number("heartbeat_ms");
      want.timeoutMs = h.number("timeout_ms");
      want.ackMs = h.number("ack_ms");
      want.timeMs = h.number("time_ms");
      want.expired = h.number("expired");
      want.cursor = h.string("cursor");
      assertEquals(want.toString(), got.toString());
    } else if (v.has("push")) {
      Frame.Push push = (Frame.Push) got;
      assertEquals(v.object("push").string("cursor"), push.cursor);
      expect(v.object("push"), push.message);
    } else if (v.has("goaway")) {
      expectGoaway(v.object("goaway"), (Frame.GoAway) got);
    } else {
      assertEquals("heartbeat " + (timeSent ? v.number("heartbeat_time_ms") : 0), got.toString());
    }
  }

  private static void expectGoaway(JsonObject want, Frame.GoAway got) throws FrameException {
    assertEquals("goaway " + want.string("reason") + " " + want.number("reconnect_ms") + " " + want.string("detail"), got.toString());
  }

  private static void expect(JsonObject want, Message got) throws FrameException {
    assertEquals(want.string("id"), got.id());
    assertEquals(want.string("type"), got.type());
    assertEquals(Priority.of(want.string("priority")), got.priority());
    assertArrayEquals(hex(want.string("payload_hex")), got.payload());
    assertEquals(want.string("content_type"), got.contentType());
    assertEquals(want.number("created_ms"), got.createdMs());
    assertEquals(want.number("expires_ms"), got.expiresMs());
    assertEquals(want.string("collapse_key"), got.collapseKey());
    assertEquals(want.texts("headers"), got.headers());
    assertEquals(want.bool("redelivered"), got.redelivered());
    assertEquals(want.number("seq"), got.seq());
  }

  @TestFactory
  Stream<DynamicTest> poll() throws Exception {
    return each(
        "frames.json",
        v -> {
          PollAnswer got = JsonFrames.poll(v.string("json"));
          JsonObject want = v.object("poll");
          assertEquals(want.bool("resumed"), got.resumed);
          assertEquals(want.string("stream"), got.stream);
          assertEquals(want.number("expired"), got.expired);
          assertEquals(want.string("cursor"), got.cursor);
          List<JsonObject> messages = want.objects("messages");
          assertEquals(messages.size(), got.messages.size());
          for (int i = 0; i < messages.size(); i++) {
            expect(messages.get(i), got.messages.get(i));
          }
          if (want.object("goaway") == null) {
            assertNull(got.goaway);
          } else {
            expectGoaway(want.object("goaway"), got.goaway);
          }
        },
        "poll");
  }

  @TestFactory
  Stream<DynamicTest> error() throws Exception {
    return each(
        "frames.json",
        v -> assertArrayEquals(new String[] {v.object("error").string("code"), v.object("error").string("message")}, JsonFrames.error(v.string("json"))),
        "error");
  }

  @TestFactory
  Stream<DynamicTest> deviceFrame() throws Exception {
    return each(
        "frames.json",
        v -> {
          JsonObject d = v.object("device");
          byte[] proto = hex(v.string("proto_hex"));
          switch (d.string("kind")) {
            case "ack":
              assertArrayEquals(proto, ProtoFrames.ack(d.number("seq"), d.string("cursor")));
              assertEquals(v.string("json"), JsonFrames.ack(d.number("seq"), d.string("cursor")));
              break;
            case "heartbeat":
              assertArrayEquals(proto, ProtoFrames.heartbeat(d.number("time_ms")));
              break;
            case "refresh":
              DeviceContext c = d.has("context") ? context(d.object("context")) : null;
              assertArrayEquals(proto, ProtoFrames.refresh(d.string("token"), c));
              assertEquals(v.string("json"), JsonFrames.refresh(d.string("token"), c));
              break;
            default:
              open(d.object("open"), proto);
          }
        },
        "device");
  }

  private static void open(JsonObject o, byte[] proto) throws FrameException {
    if (o.has("stream")) {
      return; // this client has no use for a cursor's first form
    }
    DeviceContext c = o.has("context") ? context(o.object("context")) : DeviceContext.EMPTY;
    assertArrayEquals(
        proto,
        ProtoFrames.open(
            new Opening(
                o.string("user"), o.string("device"), o.string("cursor"), c, o.string("token"), (int) o.number("window"), (int) o.number("heartbeat_ms"))));
  }

  private static DeviceContext context(JsonObject o) throws FrameException {
    DeviceContext.Builder b = DeviceContext.builder();
    for (String name : new String[] {"app", "app_version", "os", "os_version", "model", "locale"}) {
      b.field(name, o.string(name));
    }
    o.texts("labels").forEach(b::label);
    return b.build();
  }

  @TestFactory
  Stream<DynamicTest> eventStreamHoweverItIsCut() throws Exception {
    return each(
        "sse.json",
        v -> {
          byte[] raw = v.string("stream").getBytes(StandardCharsets.UTF_8);
          List<String> want = new ArrayList<>();
          for (JsonObject e : v.objects("events")) {
            want.add(e.string("event") + "|" + e.string("id") + "|" + e.string("data") + "|" + e.number("retry_ms"));
          }
          for (int at = 0; at <= raw.length; at++) {
            EventParser parser = new EventParser(Frame.MAX);
            List<EventParser.Event> got = new ArrayList<>(parser.feed(raw, at));
            got.addAll(parser.feed(Arrays.copyOfRange(raw, at, raw.length), raw.length - at));
            assertEquals(want, texts(got), "cut at " + at);
          }
          EventParser parser = new EventParser(Frame.MAX);
          List<EventParser.Event> got = new ArrayList<>();
          for (byte b : raw) {
            got.addAll(parser.feed(new byte[] {b}, 1));
          }
          assertEquals(want, texts(got));
        });
  }

  private static List<String> texts(List<EventParser.Event> events) {
    List<String> texts = new ArrayList<>();
    events.forEach(e -> texts.add(e.name + "|" + e.id + "|" + e.data + "|" + e.retryMs));
    return texts;
  }

  @Test
  void eventOverTheLimitEndsTheStream() throws Exception { // C 4.9
    EventParser parser = new EventParser(100);
    byte[] fits = ("data: " + String.join("", java.util.Collections.nCopies(80, "x")) + "\n\n").getBytes(StandardCharsets.US_ASCII);
    assertEquals(1, parser.feed(fits, fits.length).size());
    byte[] half = ("data: " + String.join("", java.util.Collections.nCopies(60, "x")) + "\n").getBytes(StandardCharsets.US_ASCII);
    parser.feed(half, half.length);
    assertThrows(FrameException.class, () -> parser.feed(half, half.length));
  }

  @TestFactory
  Stream<DynamicTest> whatIsNoProtobuf() throws Exception {
    List<DynamicTest> tests = new ArrayList<>();
    for (JsonObject v : load("device.json")) {
      if (v.string("answer").equals("contract") && v.has("proto_hex")) {
        tests.add(DynamicTest.dynamicTest(v.string("name"), () -> assertThrows(FrameException.class, () -> deviceFrame(hex(v.string("proto_hex"))))));
      }
    }
    assertTrue(tests.size() >= 3);
    return tests.stream();
  }

  /** Reads a DeviceFrame as a server would, which this library has no other use for. */
  private static void deviceFrame(byte[] data) throws FrameException {
    ProtoReader r = new ProtoReader(data);
    for (int field; (field = r.next()) != 0; ) {
      if (field > 4) {
        r.skip();
        continue;
      }
      ProtoReader m = r.message();
      for (int part; (part = m.next()) != 0; ) {
        boolean number = (field == 1 && (part == 4 || part == 7 || part == 8)) || (field == 2 && part == 1) || (field == 3 && part == 1);
        boolean context = (field == 1 && part == 5) || (field == 4 && part == 2);
        boolean text = (field == 1 && part <= 9) || (field == 2 && part == 2) || (field == 4 && part == 1);
        if (number) {
          m.number();
        } else if (context) {
          ProtoFrames.context(m.message());
        } else if (text) {
          m.text();
        } else {
          m.skip();
        }
      }
    }
  }

  @Test
  void payloadNested10000Deep() throws Exception { // SPEC 10.4.6
    char[] deep = new char[20_000];
    Arrays.fill(deep, 0, 10_000, '[');
    Arrays.fill(deep, 10_000, 20_000, ']');
    String payload = new String(deep);
    Frame.Push push = (Frame.Push) JsonFrames.textFrame("{\"push\":{\"seq\":1,\"id\":\"m\",\"payload\":" + payload + ",\"cursor\":\"k1\"}}");
    assertEquals(payload, push.message.text());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{", "[]", "7", "null", "{\"push\":{}}", "{\"push\":[]}", "{\"push\":null}", "{\"push\":{\"id\":\"m\",\"payload\":{\"a\":1]}}", "{\"hello\":{\"seq\":-1}}",
        "{\"hello\":{\"seq\":1.5}}", "{\"hello\":{\"seq\":1e99}}", "{\"hello\":{\"resumed\":1}}", "{\"push\":{\"id\":7}}", "{\"hello\":{}}x", "{\"a\":\"\\x\"",
        "{\"push\":{\"id\":\"m\",\"payload_b64\":\"?\"}}", "{\"goaway\":7}", "{\"goaway\":{\"reason\":\"\\u12\"}}", "{\"hello\":{\"seq\":}}", "{,}", "{\"a\"}"
      })
  void whatIsNoFrame(String text) {
    assertThrows(FrameException.class, () -> JsonFrames.textFrame(text));
  }

  @ParameterizedTest
  @ValueSource(strings = {"{}", "{\"later\":{\"x\":[1]}}", " {\"v\":2} "})
  void unknownFramesAreIgnored(String text) throws Exception { // C 4.1
    assertNull(JsonFrames.textFrame(text));
  }

  @Test
  void unknownFieldsOfProtobufAreIgnored() throws Exception { // C 4.1
    byte[] unknown = hex("fa3f03616263" + "f03f07" + "f93f0102030405060708" + "fd3f01020304" + "f33f0801f43f");
    byte[] goaway = new ProtoWriter().message(4, new ProtoWriter().text(1, "drain")).toBytes();
    byte[] both = Arrays.copyOf(unknown, unknown.length + goaway.length);
    System.arraycopy(goaway, 0, both, unknown.length, goaway.length);
    assertEquals("goaway drain 0 ", ProtoFrames.serverFrame(both).toString());
    assertThrows(FrameException.class, () -> ProtoFrames.serverFrame(hex("f33f0801")), "a group without an end");
  }

  private static byte[] hex(String text) {
    byte[] bytes = new byte[text.length() / 2];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) Integer.parseInt(text.substring(2 * i, 2 * i + 2), 16);
    }
    return bytes;
  }
}
