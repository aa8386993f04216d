package frame

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"ramen/link"
	"ramen/link/linkgrpc/linkpb"
	"ramen/protocol"
)

var update = flag.Bool("update", false, "write testdata/frames.json anew: only for frames that no release has sent")

func fullContext() *protocol.DeviceContext {
	return &protocol.DeviceContext{App: "rider", AppVersion: "1.2.3", OS: "iOS", OSVersion: "19", Model: "iPhone18,2", Locale: "zh-Hant", Labels: map[string]string{"plan": "gold", "empty": ""}}
}

func fullMessage() *protocol.Message {
	return &protocol.Message{ID: "m1", Type: "trip.offer", Priority: protocol.PriorityLow, Payload: []byte{0, 255, '"'}, ContentType: "image/png",
		CreatedMS: 5, ExpiresMS: 6, CollapseKey: "trip/7", Headers: map[string]string{"trace": "a=b", "empty": ""}}
}

var (
	fullRoute   = link.Route{Shard: 1023, Epoch: 1<<40 + 7}
	fullMailbox = Mailbox{Route: fullRoute, User: "用戶"}
	fullHello   = Hello{Version: 3, MinVersion: 2, From: "f1", To: "g1", Instance: "abc", Number: 9, Cluster: "c", Draining: true}
	fullOpen    = link.Open{Route: fullRoute, Generation: 1<<32 - 1, User: "u", Device: "d", Transport: protocol.TransportWS, Context: fullContext(), Cursor: "k1", HasSeq: true,
		Seq: protocol.MaxSeq, Name: "s1.2", Window: 17, Number: protocol.StreamNumber{Epoch: 3, Counter: 1 << 63}, Acked: "k2",
		Sent: []link.Sent{{Seq: 1, Cursor: "k3", Priority: protocol.PriorityHigh, Bytes: 1 << 20}, {Seq: 2}}}
	fullOpened = link.Opened{Number: protocol.StreamNumber{Epoch: 3, Counter: 4}, Name: "s3.4", Epoch: 3, Resumed: true, Seq: 5, Expired: 6, Cursor: "k4", Pending: true}
	fullPushes = []protocol.Push{{Seq: 7, Cursor: "k5", Redelivered: true, Message: fullMessage()}, {Seq: 8, Message: &protocol.Message{ID: "m2"}}}
	published  = &protocol.Message{ID: "m3", Priority: protocol.PriorityHigh}
	fullBatch  = []link.Publish{
		{Route: fullRoute, User: "u", Device: "d", Where: map[string]string{"os": "iOS"}, Message: fullMessage(), TTLMS: 1000},
		{Route: fullRoute, User: "v", Message: published, TTLMS: 1},
		{Route: fullRoute, User: "w", Message: published, TTLMS: 1}, // the same message: it is sent once
	}
	notOwner    = &link.NotOwnerError{Reason: protocol.ReasonRebalance, Below: 9}
	fullResults = []link.Result{{Status: link.StatusAccepted, Devices: 3}, {Status: link.StatusRejected, Err: notOwner}, {Status: link.StatusRejected, Err: link.ErrNotOwner}}
	fullAck     = link.Ack{Route: fullRoute, User: "u", Device: "d", Cursor: "k6", Seq: 11, Name: "s5.6"}
	fullPage    = link.Page{After: link.Ref{Priority: protocol.PriorityLow, Position: protocol.Position{Epoch: 3, Micros: 1<<64 - 1}}, Limit: 1000}
	fullDevices = []link.Device{{ID: "a", Online: true, Transport: protocol.TransportPoll, Context: fullContext(), ConnectedMS: 5, LastSeenMS: 6, Pending: 7, Unacked: 8, RTTMS: 9}, {ID: "b"}}
	fullList    = link.MessagePage{Messages: []*protocol.Message{fullMessage(), {ID: "m4"}}, Next: fullPage.After}
	refused     = &protocol.Error{Code: protocol.CodeResourceExhausted, Message: "later: ü", RetryAfter: 1500 * time.Millisecond}
)

// frames are one of each kind, with every field set: how they are written, and what reading them must answer.
var frames = []struct {
	name   string
	append func(b []byte) []byte
	read   func(f *Frame) (any, error)
	want   any
}{
	{"hello", func(b []byte) []byte { return AppendHello(b, &fullHello) }, func(f *Frame) (any, error) { return second(ReadHello(f.Body)) }, fullHello},
	{"heartbeat", AppendHeartbeat, nothing, nil},
	{"goaway", func(b []byte) []byte { return AppendGoAway(b, protocol.ReasonDrain) }, func(f *Frame) (any, error) { return second(GoAway(f.Body)) }, protocol.ReasonDrain},
	{"open", func(b []byte) []byte { return AppendOpen(b, 5, 3*time.Second, &fullOpen) }, func(f *Frame) (any, error) { return second(Open(f.Body)) }, fullOpen},
	{"credit", func(b []byte) []byte { return AppendCredit(b, 5, 1<<40) }, value, uint64(1 << 40)},
	{"credit of 0", func(b []byte) []byte { return AppendCredit(b, 5, 0) }, value, uint64(0)},
	{"stream_ack", func(b []byte) []byte { return AppendStreamAck(b, 5, 9, "k9") }, func(f *Frame) (any, error) {
		seq, cursor, err := StreamAck(f.Body)
		return []any{seq, cursor}, err
	}, []any{protocol.Seq(9), "k9"}},
	{"refresh", func(b []byte) []byte { return AppendRefresh(b, 5, fullContext()) }, func(f *Frame) (any, error) { return second(Refresh(f.Body)) }, fullContext()},
	{"refresh to nothing", func(b []byte) []byte { return AppendRefresh(b, 5, nil) }, func(f *Frame) (any, error) { return second(Refresh(f.Body)) }, (*protocol.DeviceContext)(nil)},
	{"measured", func(b []byte) []byte { return AppendMeasured(b, 5, 1<<32-1) }, value, uint64(1<<32 - 1)},
	{"close", func(b []byte) []byte { return AppendClose(b, 5, protocol.ReasonGone) }, value, uint64(protocol.ReasonGone)},
	{"close of a moved one", func(b []byte) []byte { return AppendClose(b, 5, protocol.ReasonNone) }, value, uint64(0)},
	{"opened", func(b []byte) []byte { return AppendOpened(b, 5, &fullOpened) }, func(f *Frame) (any, error) { return second(Opened(f.Body)) }, fullOpened},
	{"pushes", func(b []byte) []byte { return AppendPushes(b, 5, fullPushes, true) }, func(f *Frame) (any, error) {
		batch, more, err := Pushes(nil, f.Body, new(Words))
		return []any{batch, more}, err
	}, []any{fullPushes, true}},
	{"acked", func(b []byte) []byte { return AppendAcked(b, 5, 6) }, value, uint64(6)},
	{"closed", func(b []byte) []byte { return AppendClosed(b, 5, protocol.ReasonSuperseded, "a newer one") }, func(f *Frame) (any, error) {
		reason, detail, err := Closed(f.Body)
		return []any{reason, detail}, err
	}, []any{protocol.ReasonSuperseded, "a newer one"}},
	{"lost", func(b []byte) []byte { return AppendLost(b, 5, link.Loss{Reason: protocol.ReasonDrain, Below: 7}) }, func(f *Frame) (any, error) { return second(Lost(f.Body)) },
		link.Loss{Reason: protocol.ReasonDrain, Below: 7}},
	{"publish", func(b []byte) []byte { return AppendPublish(b, 6, time.Minute, fullBatch, true) }, func(f *Frame) (any, error) {
		batch, more, err := Publish(nil, f.Body, nil)
		if err == nil && batch[1].Message != batch[2].Message {
			err = errors.New("the message of two publishes was made twice")
		}
		return []any{batch, more}, err
	}, []any{fullBatch, true}},
	{"ack", func(b []byte) []byte { return AppendAck(b, 6, time.Second, &fullAck) }, func(f *Frame) (any, error) { return second(Ack(f.Body)) }, fullAck},
	{"devices", func(b []byte) []byte { return AppendDevices(b, 6, time.Second, fullMailbox) }, func(f *Frame) (any, error) { return second(Devices(f.Body)) }, fullMailbox},
	{"messages", func(b []byte) []byte { return AppendMessages(b, 6, time.Second, fullMailbox, fullPage) }, func(f *Frame) (any, error) {
		m, p, err := Messages(f.Body)
		return []any{m, p}, err
	}, []any{fullMailbox, fullPage}},
	{"recall", func(b []byte) []byte { return AppendRecall(b, 6, time.Second, fullMailbox, "m1") }, func(f *Frame) (any, error) {
		m, id, err := Recall(f.Body)
		return []any{m, id}, err
	}, []any{fullMailbox, protocol.MessageID("m1")}},
	{"disconnect", func(b []byte) []byte { return AppendDisconnect(b, 6, time.Second, fullMailbox, "d", "because") }, func(f *Frame) (any, error) {
		m, d, detail, err := Disconnect(f.Body)
		return []any{m, d, detail}, err
	}, []any{fullMailbox, protocol.DeviceID("d"), "because"}},
	{"cancel", func(b []byte) []byte { return AppendCancel(b, 6) }, nothing, nil},
	{"results", func(b []byte) []byte { return AppendResults(b, 6, fullResults) }, func(f *Frame) (any, error) { return second(Results(f.Body)) }, fullResults},
	{"done", func(b []byte) []byte { return AppendDone(b, 6, 3) }, value, uint64(3)},
	{"device_list", func(b []byte) []byte { return AppendDeviceList(b, 6, fullDevices) }, func(f *Frame) (any, error) { return second(DeviceList(f.Body)) }, fullDevices},
	{"message_page", func(b []byte) []byte { return AppendMessagePage(b, 6, &fullList) }, func(f *Frame) (any, error) { return second(MessagePage(f.Body)) }, fullList},
	{"error: refused", func(b []byte) []byte { return AppendError(b, 6, refused) }, anError, refused},
	{"error: not the owner", func(b []byte) []byte { return AppendError(b, 6, notOwner) }, anError, notOwner},
	{"error: not the owner, and no more", func(b []byte) []byte { return AppendError(b, 6, fmt.Errorf("wrapped: %w", link.ErrNotOwner)) }, anError, link.ErrNotOwner},
	{"error: superseded", func(b []byte) []byte { return AppendError(b, 6, link.ErrSuperseded) }, anError, link.ErrSuperseded},
	{"error: lost", func(b []byte) []byte { return AppendError(b, 6, link.ErrLost) }, anError, link.ErrLost},
	{"error: not sent", func(b []byte) []byte { return AppendError(b, 6, link.ErrNotSent) }, anError, link.ErrNotSent},
	{"error: canceled", func(b []byte) []byte { return AppendError(b, 6, context.Canceled) }, anError, context.Canceled},
	{"error: deadline", func(b []byte) []byte { return AppendError(b, 6, context.DeadlineExceeded) }, anError, context.DeadlineExceeded},
	{"error: of the gateway's own", func(b []byte) []byte { return AppendError(b, 6, errors.New("disk on fire")) }, anError, errors.New("disk on fire")},
}

func second[T any](v T, err error) (any, error) { return v, err }
func value(f *Frame) (any, error)               { return f.Value, nil }
func nothing(*Frame) (any, error)               { return nil, nil }
func anError(f *Frame) (any, error)             { return Error(f.Body), nil }

// one is the only frame of a batch.
func one(t *testing.T, b []byte) *Frame {
	t.Helper()
	r, f := Read(b), new(Frame)
	if !r.Next(f) || r.Next(new(Frame)) || r.Err() != nil {
		t.Fatalf("no batch of one frame: %v", r.Err())
	}
	return f
}

func TestFramesArriveUnchanged(t *testing.T) {
	seen := make(map[Kind]bool)
	for _, c := range frames {
		f := one(t, c.append(nil))
		seen[f.Kind] = true
		got, err := c.read(f)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	for k := KindHello; k <= lastKind; k++ {
		if !seen[k] {
			t.Errorf("no frame of kind %d is tested", k)
		}
	}
}

// golden is how testdata shows a frame: its bytes, which the next version must still read, and what they say by linkpb.
type golden struct {
	Name  string          `json:"name"`
	Bytes string          `json:"bytes"`
	Says  json.RawMessage `json:"says"`
}

// TestFramesAreLinkpb: linkpb reads what is written here, with every field known to it, and the names of the fields are those of the
// values in them, which the file shows. What linkpb writes of it is read here as the same.
func TestFramesAreLinkpb(t *testing.T) {
	var lines []golden
	for _, c := range frames {
		b := c.append(nil)
		m := new(linkpb.Batch)
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatalf("%s: linkpb cannot read it: %v", c.name, err)
		}
		known(t, c.name, m.ProtoReflect())
		again, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.read(one(t, again)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s as linkpb writes it: %+v, %v; want %+v", c.name, got, err, c.want)
		}
		says, err := protojson.Marshal(m.Frames[0])
		if err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, says); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, golden{c.name, hex.EncodeToString(b), compact.Bytes()})
	}
	const path = "testdata/frames.json"
	var file strings.Builder
	for _, l := range lines {
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		file.Write(append(text, '\n'))
	}
	if *update {
		if err := os.WriteFile(path, []byte(file.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(file.String(), "\n")
	for i, w := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != w {
			t.Fatalf("frame %d is not as it was: an older version would not understand it\n%s\nwant\n%s", i, got[min(i, len(got)-1)], w)
		}
	}
}

// known fails where a message has a field that linkpb does not know.
func known(t *testing.T, name string, m protoreflect.Message) {
	t.Helper()
	if len(m.GetUnknown()) > 0 {
		t.Errorf("%s: linkpb's %s has no field for %x", name, m.Descriptor().Name(), m.GetUnknown())
	}
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.Message() == nil:
		case d.IsList():
			for i := range v.List().Len() {
				known(t, name, v.List().Get(i).Message())
			}
		default:
			known(t, name, v.Message())
		}
		return true
	})
}

// TestNewerFramesAreIgnored: a kind and fields that this version does not know do no harm, wherever they stand.
func TestNewerFramesAreIgnored(t *testing.T) {
	newer := func(b []byte) []byte { // fields of every type
		b = protowire.AppendVarint(protowire.AppendTag(b, 1000, protowire.VarintType), 7)
		b = protowire.AppendString(protowire.AppendTag(b, 1001, protowire.BytesType), "new")
		b = protowire.AppendFixed32(protowire.AppendTag(b, 1002, protowire.Fixed32Type), 7)
		return protowire.AppendFixed64(protowire.AppendTag(b, 1003, protowire.Fixed64Type), 7)
	}
	b, at := start(nil, 5)
	b = end(newer(b), at) // a frame of a kind that is not known
	b = newer(b)          // beside the frames
	b, at = start(b, 6)
	b, body := begin(b, protowire.Number(KindStreamAck))
	b = newer(text(number(b, 1, 9), 2, "k9"))
	b = end(end(b, body), at)

	r, f := Read(b), new(Frame)
	if !r.Next(f) || f.ID != 5 || f.Kind != None {
		t.Fatalf("the frame of a newer kind is %+v, %v", f, r.Err())
	}
	if !r.Next(f) || f.ID != 6 || f.Kind != KindStreamAck {
		t.Fatalf("the frame behind it is %+v, %v", f, r.Err())
	}
	if seq, cursor, err := StreamAck(f.Body); seq != 9 || cursor != "k9" || err != nil {
		t.Errorf("%d %q %v", seq, cursor, err)
	}
	if r.Next(f) || r.Err() != nil {
		t.Errorf("something follows: %+v, %v", f, r.Err())
	}
}

// TestMalformedFramesAreRefused: a batch that is cut off anywhere, and a field of another type.
func TestMalformedFramesAreRefused(t *testing.T) {
	for _, c := range frames {
		whole := c.append(nil)
		for n := 1; n < len(whole); n++ {
			r, f := Read(whole[:n]), new(Frame)
			if r.Next(f) || !errors.Is(r.Err(), ErrMalformed) {
				t.Fatalf("%s, %d bytes of %d: %+v, %v", c.name, n, len(whole), f, r.Err())
			}
		}
	}
	b, at := start(nil, 5)
	b = end(number(b, protowire.Number(KindOpen), 1), at)
	r := Read(b)
	if r.Next(new(Frame)) || !errors.Is(r.Err(), ErrMalformed) {
		t.Errorf("an open that is a number: %v", r.Err())
	}
	for name, body := range map[string][]byte{
		"without a message": end2(1, nil),
		"with a text that is a number": func() []byte {
			b, at := begin(nil, 1)
			b, m := begin(b, 4)
			return end(end(number(b, 1, 7), m), at)
		}(),
	} {
		if _, _, err := Pushes(nil, body, nil); !errors.Is(err, ErrMalformed) {
			t.Errorf("a push %s: %v", name, err)
		}
	}
}

func end2(field protowire.Number, content []byte) []byte {
	b, at := begin(nil, field)
	return end(append(b, content...), at)
}

// TestWhatIsReadIsOnesOwn: the bytes of a batch can be used again.
func TestWhatIsReadIsOnesOwn(t *testing.T) {
	for _, c := range frames {
		b := c.append(nil)
		got, _ := c.read(one(t, b))
		for i := range b {
			b[i] = 0xff
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s has changed with its bytes: %+v", c.name, got)
		}
	}
}

// TestTimeoutsArrive: none is none, one that is over is the shortest, and one without an end is bounded.
func TestTimeoutsArrive(t *testing.T) {
	for _, c := range []struct{ sent, want time.Duration }{
		{0, 0}, {-time.Second, time.Microsecond}, {1, time.Microsecond}, {5 * time.Second, 5 * time.Second}, {1 << 62, maxTimeout},
	} {
		if f := one(t, AppendDevices(nil, 1, c.sent, fullMailbox)); f.Timeout != c.want {
			t.Errorf("a timeout of %v arrives as %v; want %v", c.sent, f.Timeout, c.want)
		}
	}
}

// TestWordsAreBounded: a peer that never says a word twice fills no memory.
func TestWordsAreBounded(t *testing.T) {
	var w Words
	for i := range 10 * maxWords {
		if word := fmt.Sprint("type", i); w.of([]byte(word)) != word {
			t.Fatalf("%s arrives as another", word)
		}
	}
	if len(w.known) > maxWords {
		t.Errorf("%d words are kept", len(w.known))
	}
	if long := strings.Repeat("x", maxWord+1); w.of([]byte(long)) != long || w.known[long] != "" {
		t.Error("a long word is kept, or arrives as another")
	}
}

func BenchmarkPush(b *testing.B) {
	batch := []protocol.Push{{Seq: 7, Cursor: strings.Repeat("k", 60), Message: &protocol.Message{
		ID: "01890a5d-ac96-774b-bcce-b302099a8057", Type: "trip.offer", Priority: protocol.PriorityHigh, Payload: make([]byte, 512), ContentType: protocol.ContentTypeJSON, CreatedMS: 1763762400123, ExpiresMS: 1763762460123}}}
	var buffer []byte
	b.Run("append", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			buffer = AppendPushes(buffer[:0], 1<<20, batch, false)
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		var words Words
		var room []protocol.Push
		for b.Loop() {
			r, f := Read(buffer), Frame{}
			r.Next(&f)
			room, _, _ = Pushes(room[:0], f.Body, &words)
		}
	})
}
