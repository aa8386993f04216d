package process

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
)

// replacedTest is a server that saves nothing lazily before it is killed.
type replacedTest struct {
	t    *testing.T
	data string
	*server
}

func newReplacedTest(t *testing.T) *replacedTest {
	r := &replacedTest{t: t, data: t.TempDir()}
	r.start()
	return r
}

func (r *replacedTest) start() {
	r.t.Helper()
	r.server = start(r.t, append(anyPorts.flags(), "--dev", "--data", r.data, "--log.level", "warn",
		"--gateway.save-interval", "1m", "--gateway.mailbox-idle", "2m")...)
}

func (r *replacedTest) killed() { r.Kill(); r.start() }

// accept publishes a message of key k to u.
func (r *replacedTest) accept(id, priority string, ttlMS string) {
	r.t.Helper()
	body := `{"user":"u","id":"` + id + `","priority":"` + priority + `","ttl_ms":` + ttlMS + `,"collapse_key":"k","payload":1}`
	if got := publish(r.t, r.server, body); !strings.Contains(got, `"accepted"`) {
		r.t.Fatalf("publish of %s: %s", id, got)
	}
}

// poll is what device d is pushed, behind cursor; the cursor for the next poll, which acks it, comes with it.
func (r *replacedTest) poll(cursor string) (ids []string, next string) {
	r.t.Helper()
	resp, err := client.Get("http://" + r.at.devices + "/ramen/poll?user=u&device=d&wait=0&cursor=" + url.QueryEscape(cursor))
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	var answer struct {
		Cursor   string
		Messages []struct{ ID string }
	}
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(text, &answer) != nil {
		r.t.Fatalf("poll: %d %s, %v", resp.StatusCode, text, err)
	}
	for _, m := range answer.Messages {
		ids = append(ids, m.ID)
	}
	return ids, answer.Cursor
}

func (r *replacedTest) waiting() (ids []string) {
	r.t.Helper()
	_, text := r.get(r.t, "/v1/users/u/messages")
	var answer struct{ Messages []struct{ ID string } }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		r.t.Fatalf("%s: %v", text, err)
	}
	for _, m := range answer.Messages {
		ids = append(ids, m.ID)
	}
	return ids
}

func (r *replacedTest) want(what string, have []string, want ...string) {
	r.t.Helper()
	if !slices.Equal(have, want) {
		r.t.Errorf("%s: %q; want %q", what, have, want)
	}
}

// TestFix14ReplacedMessageStaysGoneAfterKill kills the process before what was acked, or expired, is saved: what replaced it
// is alone there afterwards. SPEC 9.
func TestFix14ReplacedMessageStaysGoneAfterKill(t *testing.T) {
	t.Run("acked", func(t *testing.T) {
		r := newReplacedTest(t)
		r.accept("a", "low", "3600000")
		got, cursor := r.poll("")
		r.want("first poll", got, "a")
		_, cursor = r.poll(cursor)
		r.want("acked", r.waiting())
		r.accept("b", "high", "3600000")
		r.killed()
		r.want("after the kill", r.waiting(), "b")
		got, _ = r.poll("")
		r.want("a device without a cursor", got, "b")
		r.accept("c", "medium", "3600000")
		r.want("replaced again", r.waiting(), "c")
		got, _ = r.poll(cursor)
		r.want("a device with its cursor", got, "c")
		r.killed()
		r.want("after another kill", r.waiting(), "c")
	})
	t.Run("expired", func(t *testing.T) {
		r := newReplacedTest(t)
		r.accept("a", "low", "1000")
		for late := time.After(patience); len(r.waiting()) > 0; {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-late:
				t.Fatal("a does not expire")
			}
		}
		r.accept("x", "high", "3600000")
		r.killed()
		r.accept("c", "medium", "3600000")
		r.want("after the kill", r.waiting(), "c")
	})
}
