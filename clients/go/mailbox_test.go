package ramen

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"ramen/protocol"
	"ramen/protocol/grpcstatus"
)

func grpcError(r protocol.Reason, detail string) error {
	return status.Error(grpcstatus.ReasonCode(r), detail)
}

// limit is after how long a test gives up on something that must happen.
const limit = 20 * time.Second

// pushOf is push n of a mailbox that has message n at place n; its cursor is cN.
func pushOf(n int) *protocol.Push {
	return &protocol.Push{
		Seq: protocol.Seq(n), Cursor: "c" + strconv.Itoa(n),
		Message: &protocol.Message{
			ID: protocol.MessageID(fmt.Sprintf("m%d", n)), Type: "test", Priority: protocol.PriorityMedium,
			ContentType: protocol.ContentTypeJSON, Payload: []byte(fmt.Sprintf(`{"n":%d}`, n)),
			CreatedMS: 1, ExpiresMS: 1 << 50,
		},
	}
}

// placeOf is the place that a cursor names; none is 0.
func placeOf(cursor string) int {
	if cursor == "" {
		return 0
	}
	n, err := strconv.Atoi(cursor[1:])
	if err != nil {
		panic("cursor " + cursor)
	}
	return n
}

func helloFor(o opening) *protocol.Hello {
	h := &protocol.Hello{
		Resumed: o.Cursor != "", Stream: "s", Seq: protocol.Seq(placeOf(o.Cursor)), HeartbeatMS: 4000, TimeoutMS: 7000, AckMS: 100,
	}
	if o.transport == SSE {
		h.AckMS = 30000
	}
	return h
}

// collector is a device's handler that keeps what it got.
type collector struct {
	mu   sync.Mutex
	ids  []string
	more chan struct{}
}

func newCollector() *collector { return &collector{more: make(chan struct{}, 1<<16)} }

func (c *collector) add(m *Message) {
	c.mu.Lock()
	c.ids = append(c.ids, string(m.ID))
	c.mu.Unlock()
	c.more <- struct{}{}
}

func (c *collector) got() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.ids...)
}

// await waits for n messages in all.
func (c *collector) await(t testing.TB, n int) {
	t.Helper()
	timeout := time.After(limit)
	for len(c.got()) < n {
		select {
		case <-c.more:
		case <-timeout:
			t.Fatalf("got %d of %d messages: %v", len(c.got()), n, c.got())
		}
	}
}

// wantInOrder is that m1 to mN came, each once.
func (c *collector) wantInOrder(t testing.TB, n int) {
	t.Helper()
	got := c.got()
	if len(got) != n {
		t.Fatalf("got %d messages, want %d: %v", len(got), n, got)
	}
	for i, id := range got {
		if want := fmt.Sprintf("m%d", i+1); id != want {
			t.Fatalf("message %d is %s, want %s: %v", i, id, want, got)
		}
	}
}

func await[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(limit):
		t.Fatalf("%s did not happen", what)
		panic("unreachable")
	}
}

// transports are all of them, for tests of what holds over each.
var transports = []Transport{WSProto, WSJSON, GRPC, SSE, Poll}

func overEach(t *testing.T, test func(t *testing.T, tr Transport)) {
	for _, tr := range transports {
		t.Run(string(tr), func(t *testing.T) { test(t, tr) })
	}
}
