package frontend

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"ramen/protocol"
)

// polled asks once.
func (b *bench) polled(v url.Values) *protocol.PollAnswer {
	b.tb.Helper()
	resp, err := b.client().Get(b.url("/ramen/poll", v))
	if err != nil {
		b.tb.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "application/json" {
		b.tb.Fatalf("%s %v: %s", resp.Status, err, body)
	}
	if !strings.Contains(string(body), `"messages":[`) {
		b.tb.Fatalf("no list of messages: %s", body)
	}
	a, err := protocol.DecodePollAnswer(body)
	if err != nil {
		b.tb.Fatalf("%v: %s", err, body)
	}
	return a
}

func TestPollAnswersWhatIsPendingThenWaits(t *testing.T) {
	b := newBench(t, nil)
	b.g.publish("u", "d", 40, `{"a":1}`)
	a := b.polled(asking("u", "d"))
	if len(a.Messages) != 40 || a.Cursor != b.g.devices["u/d"].cursor(40) || a.Resumed || a.Stream == "" || a.Messages[0].Seq != 1 {
		t.Fatalf("%d messages, cursor %q", len(a.Messages), a.Cursor)
	}
	// The same again, since nothing was acked; then with the cursor, which acks.
	if again := b.polled(asking("u", "d")); len(again.Messages) != 40 {
		t.Fatalf("%d messages came again", len(again.Messages))
	}
	empty := b.polled(asking("u", "d", "cursor", a.Cursor, "wait", "0"))
	if len(empty.Messages) != 0 || empty.Cursor != a.Cursor || !empty.Resumed {
		t.Fatalf("%+v", empty)
	}
	answers := make(chan *protocol.PollAnswer)
	go func() { answers <- b.polled(asking("u", "d", "cursor", a.Cursor)) }()
	b.until("the poll waits", func() bool { return b.g.streams == 1 })
	b.g.publish("u", "d", 1, `2`)
	if late := <-answers; len(late.Messages) != 1 || late.Messages[0].Seq != 41 {
		t.Fatalf("%+v", late)
	}
	b.until("the stream has ended", func() bool { return b.g.streams == 0 })
}

func TestPollThatIsSupersededSaysSo(t *testing.T) {
	b := newBench(t, nil)
	answers := make(chan *protocol.PollAnswer)
	go func() { answers <- b.polled(asking("u", "d")) }()
	b.until("the poll waits", func() bool { return b.g.streams == 1 })
	want(t, dialSSE(b, asking("u", "d")), protocol.ServerHello)
	a := <-answers
	if a.GoAway == nil || a.GoAway.Reason != protocol.ReasonSuperseded || len(a.Messages) != 0 || a.Cursor == "" {
		t.Fatalf("%+v", a)
	}
}

func TestPollIsAnsweredByDrain(t *testing.T) {
	b := newBench(t, nil)
	answers := make(chan *protocol.PollAnswer)
	go func() { answers <- b.polled(asking("u", "d")) }()
	b.until("the poll waits", func() bool { return b.g.streams == 1 })
	if err := b.s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := <-answers; a.GoAway == nil || a.GoAway.Reason != protocol.ReasonDrain || a.GoAway.ReconnectMS == 0 {
		t.Fatalf("%+v", a)
	}
}

func TestPollWhoseGatewayIsLostGoesOn(t *testing.T) {
	b := newBench(t, nil)
	answers := make(chan *protocol.PollAnswer)
	go func() { answers <- b.polled(asking("u", "d")) }()
	b.until("the poll waits", func() bool { return b.g.streams == 1 })
	b.g.lose()
	b.until("it is open again", func() bool { return len(b.g.opens) == 2 && b.g.streams == 1 })
	b.g.publish("u", "d", 1, `2`)
	if a := <-answers; len(a.Messages) != 1 {
		t.Fatalf("%+v", a)
	}
}

func TestClientThatLeavesItsPollFreesIt(t *testing.T) {
	b := newBench(t, nil)
	c := dialTCP(t, b)
	if _, err := io.WriteString(c, "GET /ramen/poll?user=u&device=d HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	b.until("the poll waits", func() bool { return b.g.streams == 1 })
	c.SetLinger(0)
	c.Close()
	b.until("it is gone", func() bool { return b.g.streams == 0 })
}

func TestPollHoldsNoMoreThanItsBytes(t *testing.T) {
	b := newBench(t, func(c *Config, _ *Deps) { c.PollBytes = 64 << 10 })
	b.g.publish("u", "d", 100, `"`+strings.Repeat("x", 4000)+`"`)
	seq := protocol.Seq(0)
	v := asking("u", "d")
	for seq < 100 {
		a := b.polled(v)
		if n := len(a.Messages); n == 0 || n > 40 || a.Messages[0].Seq != seq+1 {
			t.Fatalf("%d messages after %d", n, seq)
		}
		seq = a.Messages[len(a.Messages)-1].Seq
		v.Set("cursor", a.Cursor)
	}
}

func TestPollWaitIsChecked(t *testing.T) {
	b := newBench(t, nil)
	for _, wait := range []string{"61", "-1", "x", "1.5"} {
		if resp, e := b.get("/ramen/poll", "user=u&device=d&wait="+wait); resp.StatusCode != 400 || e == nil {
			t.Errorf("wait=%s: %s", wait, resp.Status)
		}
	}
	if b.polled(asking("u", "d", "wait", "1")); len(b.g.opens) != 1 {
		t.Error("wait=1 was not asked for")
	}
}

func TestPollsShareAConnection(t *testing.T) {
	b := newBench(t, nil)
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	c := &http.Client{Transport: tr, Timeout: 10 * time.Second}
	for range 3 {
		b.g.publish("u", "d", 1, `1`)
		resp, err := c.Get(b.url("/ramen/poll", asking("u", "d")))
		if err != nil {
			t.Fatal(err)
		}
		var any map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&any); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
}

func TestPollThatDoesNotWaitIsAnsweredAtOnce(t *testing.T) {
	b := newBench(t, nil)
	c := &http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
	defer c.CloseIdleConnections()
	begun := time.Now()
	const polls = 100
	for range polls {
		resp, err := c.Get(b.url("/ramen/poll", asking("u", "d", "wait", "0")))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if took := time.Since(begun); took > polls*time.Second/2 {
		t.Fatalf("%d polls that wait for nothing took %v", polls, took)
	}
}

// Drain and Close wait for answers under way: a device that polls is told goaway, not cut off.
func TestEveryPollIsAnsweredBeforeTheServerCloses(t *testing.T) {
	const polls = 100
	b := newBench(t, nil)
	answers := make(chan error, polls)
	for i := range polls {
		v := asking("u", "d"+strconv.Itoa(i))
		c := b.client()
		go func() {
			resp, err := c.Get(b.url("/ramen/poll", v))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			answers <- err
		}()
	}
	b.until("all wait", func() bool { return b.g.streams == polls })
	if err := b.s.Close(); err != nil {
		t.Fatal(err)
	}
	for range polls {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}
