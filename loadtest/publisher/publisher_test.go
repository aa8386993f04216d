package publisher

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"ramen/loadtest/expect"
	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testRun = "rt"

func batchOf(n int) *batch {
	b := &batch{}
	for i := range n {
		b.names = append(b.names, expect.Name{User: uint32(i), Lane: uint8(i % 3), N: uint32(i + 1)})
		b.due = append(b.due, 1700000000000000+int64(i))
	}
	return b
}

func TestRequestIsWhatGeneratedCodeReads(t *testing.T) {
	cfg := Config{Expected: expect.New(testRun), Payload: 256, TTL: time.Minute, filling: filling(256)}
	var got ramenpb.PublishRequest
	if err := proto.Unmarshal(request(&cfg, batchOf(5)), &got); err != nil {
		t.Fatal(err)
	}
	for i, p := range got.GetMessages() {
		m, ok := expect.ParseID([]byte(p.GetId()), testRun)
		if !ok || p.GetUser() != expect.UserName(testRun, uint32(i)) || m != batchOf(5).names[i] || int(p.GetPriority()) != i%3+1 || p.GetTtlMs() != 60000 {
			t.Errorf("message %d is %v", i, p)
		}
		if len(p.GetPayload()) != 256 {
			t.Errorf("payload %d has %d bytes: %s", i, len(p.GetPayload()), p.GetPayload())
		}
		if compact, err := protocol.CompactJSON(nil, p.GetPayload()); err != nil || string(compact) != string(p.GetPayload()) {
			t.Errorf("payload %d is not compact: %v", i, err)
		}
	}
}

func TestResponseIsReadAsGeneratedCodeWritesIt(t *testing.T) {
	b, err := proto.Marshal(&ramenpb.PublishResponse{Results: []*ramenpb.PublishResult{
		{Id: "a", Status: ramenpb.PublishResult_ACCEPTED, Devices: 1},
		{Id: "b", Status: ramenpb.PublishResult_DUPLICATE},
		{Id: "c", Status: ramenpb.PublishResult_REJECTED, Error: &ramenpb.Error{Code: "resource_exhausted", Message: "full"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := readResponse(b)
	if err != nil || len(got) != 3 || got[0].code != "" || got[1].code != "" || got[2].code != "resource_exhausted" {
		t.Errorf("%v, %v", got, err)
	}
	for i := range b {
		_, _ = readResponse(b[:i])
	}
}

// backend answers publishes over HTTP, and notes them.
type backend struct {
	*httptest.Server
	delay time.Duration // before each answer
	full  bool          // every second message is refused
	// every second request has no answer, though it takes effect
	breaks bool
	asked  atomic.Int64

	mu  sync.Mutex
	ids []string // guarded by mu
}

func newBackend(t *testing.T, delay time.Duration, full bool) *backend {
	b := &backend{delay: delay, full: full}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		limits := protocol.DefaultPublishLimits()
		list, _, err := protocol.DecodePublishJSON(nil, body, &limits)
		if err != nil {
			t.Error(err)
		}
		results := make([]protocol.PublishResult, len(list))
		b.mu.Lock()
		for i := range list {
			b.ids = append(b.ids, list[i].ID)
			results[i] = protocol.PublishResult{ID: list[i].ID, Status: protocol.PublishAccepted}
			if b.full && len(b.ids)%2 == 0 {
				results[i] = protocol.PublishResult{Status: protocol.PublishRejected, Err: protocol.Errorf(protocol.CodeResourceExhausted, "full")}
			}
		}
		b.mu.Unlock()
		if b.breaks && b.asked.Add(1)%2 == 1 {
			panic(http.ErrAbortHandler)
		}
		if b.delay > 0 {
			<-time.After(b.delay)
		}
		_, _ = w.Write(protocol.AppendPublishResults(nil, results))
	}))
	t.Cleanup(b.Close)
	return b
}

func newPublisher(t *testing.T, b *backend) *Publisher {
	f, err := New(Config{URL: b.URL, Expected: expect.New(testRun), Users: [2]uint32{3, 13}, Lanes: [3]int{1, 1, 0}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

func TestEveryUserGetsItsTurn(t *testing.T) {
	f := newPublisher(t, newBackend(t, 0, false))
	stats, err := f.Each(t.Context(), 4)
	if err != nil || stats.Accepted != 40 || stats.Due != 40 {
		t.Fatalf("%+v, %v", stats, err)
	}
	for u := uint32(3); u < 13; u++ {
		if *f.Sent(u) != (expect.Lanes{2, 2, 0}) {
			t.Errorf("user %d was sent %v", u, *f.Sent(u))
		}
	}
}

// TestSlowServerDoesNotHideItsDelay is open loop: what a server holds up counts from when it was due.
func TestSlowServerDoesNotHideItsDelay(t *testing.T) {
	f := newPublisher(t, newBackend(t, 100*time.Millisecond, false))
	stats, err := f.Run(t.Context(), 1000, 300*time.Millisecond)
	if err != nil || stats.Accepted != 300 {
		t.Fatalf("%+v, %v", stats, err)
	}
	if p50 := stats.Answer.At(50); p50 < 100*time.Millisecond {
		t.Errorf("half were answered within %v", p50)
	}
}

// TestUnansweredIsTriedAgainWithTheSameID answers every second request with a broken connection, after it took effect.
func TestUnansweredIsTriedAgainWithTheSameID(t *testing.T) {
	b := newBackend(t, 0, false)
	b.breaks = true
	f := newPublisher(t, b)
	stats, err := f.Each(t.Context(), 200)
	if err != nil || stats.Accepted != 2000 || stats.Unknown != 0 || stats.Retried == 0 {
		t.Fatalf("%+v, %v", stats, err)
	}
	seen := map[string]int{}
	for _, id := range b.ids {
		seen[id]++
	}
	if len(seen) != 2000 || len(b.ids) != 2000+int(stats.Retried) {
		t.Errorf("%d ids in %d publishes, %d of them tried again", len(seen), len(b.ids), stats.Retried)
	}
}

func TestPayloadOfATimeAlone(t *testing.T) {
	if p := string(appendPayload(nil, 1700000000000000, filling(timeAlone))); p != "1700000000000000" {
		t.Errorf("it is %s", p)
	}
}

func TestRefusalsAreExpectedOfNobody(t *testing.T) {
	f := newPublisher(t, newBackend(t, 0, true))
	stats, err := f.Each(t.Context(), 4)
	if err != nil || stats.Accepted != 20 || stats.Refused["resource_exhausted"] != 20 || f.cfg.Expected.Excepted() != 20 {
		t.Errorf("%+v, %d excepted, %v", stats, f.cfg.Expected.Excepted(), err)
	}
}

func TestNoAnswerIsUnknown(t *testing.T) {
	for _, cfg := range []Config{{URL: "http://127.0.0.1:1"}, {GRPC: "127.0.0.1:1"}} {
		cfg.Retry = 300 * time.Millisecond
		cfg.Expected, cfg.Users = expect.New(testRun), [2]uint32{0, 4}
		f, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		stats, err := f.Each(t.Context(), 1)
		f.Close()
		if err != nil || stats.Unknown != 4 || stats.Retried == 0 || cfg.Expected.Excepted() != 4 {
			t.Errorf("%+v, %v", stats, err)
		}
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	expected := expect.New(testRun)
	for _, cfg := range []Config{
		{Expected: expected, Users: [2]uint32{0, 1}},
		{Expected: expected, Users: [2]uint32{0, 1}, URL: "http://h", Payload: 5},
		{Expected: expected, Users: [2]uint32{0, 1}, URL: "http://h", Payload: 20},
		{Expected: expected, Users: [2]uint32{0, 1}, URL: "http://h", Batch: 1001},
		{Expected: expected, Users: [2]uint32{1, 1}, URL: "http://h"},
	} {
		if _, err := New(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}
