package process

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ramen/internal/testserver/redistest"
)

// ownersTest is two processes on one store. Publishers publish to both all the time, and devices poll both; what they see is all that
// is judged by.
type ownersTest struct {
	t     *testing.T
	flags []string

	mu sync.Mutex
	// guarded by mu
	running  map[string]*server
	accepted map[string][]string        // ids by user
	count    map[string]int             // of those that each process has accepted
	retired  map[string]time.Time       // from when on a process must accept nothing; what is published later
	received map[string]map[string]bool // by user, its device's ids
	next     int
}

const ownedUsers = 6

// ask is how publishers and devices ask. What does not answer in time is tried elsewhere.
var ask = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 2 * time.Second}

func newOwnersTest(t *testing.T, store string) *ownersTest {
	o := &ownersTest{t: t, flags: append(anyPorts.flags(), "--dev", "--store", store, "--log.level", "info", "--route.deadline", "300ms"),
		running: make(map[string]*server), accepted: make(map[string][]string), count: make(map[string]int),
		retired: make(map[string]time.Time), received: make(map[string]map[string]bool)}
	var clients sync.WaitGroup
	over := make(chan struct{})
	t.Cleanup(func() { close(over); clients.Wait() })
	for i := range ownedUsers {
		user := fmt.Sprint("user-", i)
		o.received[user] = make(map[string]bool)
		clients.Go(func() {
			for n := 0; !closed(over); n++ {
				for name, s := range o.servers() {
					o.publish(name, s, user)
				}
				pause(over, 30*time.Millisecond)
			}
		})
		clients.Go(func() { o.device(user, over) })
	}
	return o
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func pause(over chan struct{}, d time.Duration) {
	select {
	case <-over:
	case <-time.After(d):
	}
}

func (o *ownersTest) servers() map[string]*server {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := make(map[string]*server)
	for name, s := range o.running {
		all[name] = s
	}
	return all
}

// start starts a process, and has clients find it.
func (o *ownersTest) start(name string) *server {
	o.t.Helper()
	s := start(o.t, append([]string{"--data", o.t.TempDir()}, o.flags...)...)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.running[name] = s
	return s
}

func (o *ownersTest) kill(name string) {
	o.mu.Lock()
	s := o.running[name]
	delete(o.running, name)
	o.mu.Unlock()
	s.Kill()
}

// publish publishes one message to one process.
func (o *ownersTest) publish(name string, s *server, user string) {
	o.mu.Lock()
	o.next++
	id := fmt.Sprintf("%s-%d", name, o.next)
	o.mu.Unlock()
	began := time.Now()
	resp, err := ask.Post("http://"+s.at.backends+"/v1/publish", "application/json", strings.NewReader(`{"user":"`+user+`","id":"`+id+`","payload":1}`))
	if err != nil {
		return // nobody knows
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.Contains(string(text), `"accepted"`) {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.accepted[user] = append(o.accepted[user], id)
	o.count[name]++
	if from := o.retired[name]; !from.IsZero() && began.After(from) {
		o.t.Errorf("%s accepts %s %v after another has taken over", name, id, began.Sub(from))
	}
}

// device polls whichever process answers, and goes on at its cursor.
func (o *ownersTest) device(user string, over chan struct{}) {
	for cursor := ""; !closed(over); pause(over, 20*time.Millisecond) {
		for _, s := range o.servers() {
			resp, err := ask.Get("http://" + s.at.devices + "/ramen/poll?user=" + user + "&device=d&wait=0&cursor=" + url.QueryEscape(cursor))
			if err != nil {
				continue
			}
			text, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			var answer struct {
				Cursor   string
				Messages []struct{ ID string }
			}
			if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(text, &answer) != nil {
				continue
			}
			cursor = answer.Cursor
			o.mu.Lock()
			for _, m := range answer.Messages {
				o.received[user][m.ID] = true
			}
			o.mu.Unlock()
		}
	}
}

// serves waits until a process has accepted more messages than before, and says that it is ready. From then on no other may accept any.
func (o *ownersTest) serves(name string) {
	o.t.Helper()
	o.mu.Lock()
	before := o.count[name]
	delete(o.retired, name)
	o.mu.Unlock()
	o.await(name+" serves", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.count[name] < before+20 {
			return false
		}
		for other := range o.running {
			if other != name && o.retired[other].IsZero() {
				o.retired[other] = time.Now()
			}
		}
		return true
	})
	o.await(name+" is ready", func() bool { status, _ := o.ready(name); return status == http.StatusOK })
}

// standsBy waits until a process says on both sides that another one has the store.
func (o *ownersTest) standsBy(name string) {
	o.t.Helper()
	o.await(name+" says that another process has claimed the store", func() bool {
		status, why := o.ready(name)
		return status == http.StatusServiceUnavailable && strings.Contains(why, "another process") && strings.Contains(why, "has claimed the store")
	})
}

func (o *ownersTest) ready(name string) (status int, why string) {
	resp, err := ask.Get("http://" + o.servers()[name].at.backends + "/readyz")
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func (o *ownersTest) await(what string, is func() bool) {
	o.t.Helper()
	for late := time.Now().Add(patience); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(late) {
			for name, s := range o.servers() {
				o.t.Logf("%s: %s\n%s", name, s, tail(s.Err.String()+s.Out.String()))
			}
			o.t.Fatalf("not after %v: %s", patience, what)
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-3000):] }

// allReceived waits until every device has all that was accepted for its user.
func (o *ownersTest) allReceived() {
	o.t.Helper()
	o.mu.Lock()
	want := make(map[string][]string)
	total := 0
	for user, ids := range o.accepted {
		want[user] = append([]string(nil), ids...)
		total += len(ids)
	}
	o.mu.Unlock()
	missing := ""
	o.await("devices have all that was accepted", func() bool {
		o.mu.Lock()
		defer o.mu.Unlock()
		missing = ""
		for user, ids := range want {
			for _, id := range ids {
				if !o.received[user][id] {
					missing = user + " " + id
				}
			}
		}
		return missing == ""
	})
	o.t.Logf("%d messages were accepted", total)
}

// TestTwoProcessesOnOneStoreAreNeverTwoOwners: the older of two processes stops by itself and says why; it serves again once the newer one is
// killed, or has been stopped by SIGSTOP for longer than a lease, and then the newer one does not go on when it is continued.
func TestTwoProcessesOnOneStoreAreNeverTwoOwners(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: -short")
	}
	for _, store := range []struct {
		name string
		url  func(t *testing.T) string
	}{
		{"redis", func(t *testing.T) string { return redistest.Shared(t).URL(t) }},
		{"cassandra", sharedKeyspace},
	} {
		t.Run(store.name, func(t *testing.T) {
			o := newOwnersTest(t, store.url(t))
			o.start("a")
			o.serves("a")
			o.start("b")
			o.serves("b")
			o.standsBy("a")
			o.kill("b")
			o.serves("a")
			c := o.start("c")
			o.serves("c")
			o.standsBy("a")
			c.Signal(t, syscall.SIGSTOP)
			stopped := time.Now()
			o.serves("a")
			time.Sleep(time.Until(stopped.Add(5 * time.Second)))
			c.Signal(t, syscall.SIGCONT)
			o.standsBy("c")
			o.serves("a")
			o.allReceived()
		})
	}
}
