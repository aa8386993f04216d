package filecluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ramen/clients/go"
	"ramen/internal/ports"
	"ramen/internal/testprocess"
	"ramen/internal/testserver/redistest"
	"ramen/topology/admin"
)

var binary string

func TestMain(m *testing.M) { testprocess.Main(m, &binary) }

const shards = 16

// cluster is processes by name, and their file.
type cluster struct {
	t     *testing.T
	file  string
	store string
	links map[string]string // addresses of gateways
	ports map[string]string // of operators
	all   map[string]*testprocess.Process
}

func newCluster(t *testing.T) *cluster {
	return &cluster{t: t, file: filepath.Join(t.TempDir(), "view.yaml"), store: redistest.Single(t, redistest.Options{}).URL(),
		links: make(map[string]string), ports: make(map[string]string), all: make(map[string]*testprocess.Process)}
}

// place gives a gateway an address.
func (c *cluster) place(names ...string) {
	for _, n := range names {
		c.links[n] = ports.Free(c.t)
	}
}

// edit has the file name these gateways, and then text.
func (c *cluster) edit(text string, names ...string) {
	c.t.Helper()
	var b strings.Builder
	b.WriteString("gateways:\n")
	for _, n := range names {
		fmt.Fprintf(&b, "  %s: {address: %q, zone: east}\n", n, c.links[n])
	}
	b.WriteString(text)
	if err := os.WriteFile(c.file+".new", []byte(b.String()), 0o600); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Rename(c.file+".new", c.file); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cluster) start(name, role string, args ...string) *testprocess.Process {
	c.t.Helper()
	c.ports[name] = ports.Free(c.t)
	args = append([]string{"serve", "--dev", "--role", role, "--cluster.name", name, "--cluster.view-file", c.file, "--shards", fmt.Sprint(shards),
		"--store", c.store, "--listen.backends", c.ports[name], "--data", c.t.TempDir()}, args...)
	if role == "gateway" {
		args = append(args, "--cluster.listen", c.links[name])
	}
	p := testprocess.New(exec.Command(binary, args...))
	p.Start(c.t)
	c.all[name] = p
	return p
}

func (c *cluster) get(name, path string) (int, string, error) {
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, "http://"+c.ports[name]+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Close = true
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	return a.StatusCode, string(b), err
}

func await(t *testing.T, is func() error) {
	t.Helper()
	late := time.NewTimer(testprocess.Patience)
	defer late.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := is()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-late.C:
			t.Fatal(err)
		}
	}
}

// settled waits until each gateway serves so many shards, and every process finds nothing wrong.
func (c *cluster) settled(want map[string]int) {
	c.t.Helper()
	await(c.t, func() error {
		for name := range c.all {
			_, text, err := c.get(name, "/v1/cluster")
			if err != nil {
				return err
			}
			var s admin.Status
			if err := json.Unmarshal([]byte(text), &s); err != nil {
				return err
			}
			got := make(map[string]int)
			for _, m := range s.Members {
				if n := m.Shards.Serving; n > 0 {
					got[m.Name] = n
				}
			}
			if fmt.Sprint(got) != fmt.Sprint(want) || len(s.Problems) > 0 {
				return fmt.Errorf("%s has %v, want %v: %v", name, got, want, s.Problems)
			}
			if code, text, err := c.get(name, "/debug/check"); err != nil || code != http.StatusOK {
				return fmt.Errorf("%s: /debug/check: %d %s %v", name, code, text, err)
			}
		}
		return nil
	})
}

// crowd is devices that take messages, and a publisher that sends them without a pause.
type crowd struct {
	t    *testing.T
	stop context.CancelFunc // of the publisher
	sent chan struct{}      // closed once it has ended
	work sync.WaitGroup

	mu       sync.Mutex
	hellos   int             // guarded by mu
	taken    map[string]bool // guarded by mu: by user and id
	accepted []string        // guarded by mu: by user and id
	refused  []error         // guarded by mu
}

const users = 2 * shards

func newCrowd(t *testing.T, devices, backends string) *crowd {
	t.Helper()
	ctx, end := context.WithCancel(context.Background())
	x := &crowd{t: t, sent: make(chan struct{}), taken: make(map[string]bool)}
	for i := range users {
		user := fmt.Sprint("u", i)
		d, err := ramen.New(ramen.DeviceConfig{URL: "http://" + devices, Transports: []ramen.Transport{ramen.SSE}, User: user, Device: "d",
			OnHello: func(ramen.Hello) { x.mu.Lock(); x.hellos++; x.mu.Unlock() },
			Handler: func(_ context.Context, m *ramen.Message) error {
				x.mu.Lock()
				defer x.mu.Unlock()
				x.taken[user+" "+string(m.ID)] = true
				return nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		x.work.Go(func() { _ = d.Run(ctx) })
	}
	t.Cleanup(func() {
		end()
		x.work.Wait()
	})
	await(t, func() error {
		x.mu.Lock()
		defer x.mu.Unlock()
		if x.hellos < users {
			return fmt.Errorf("%d devices of %d have a stream", x.hellos, users)
		}
		return nil
	})
	run, stop := context.WithCancel(context.Background())
	x.stop = stop
	p, err := ramen.NewPublisher(ramen.PublisherConfig{URL: "http://" + backends})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(x.sent)
		defer func() { _ = p.Close() }()
		for n := 0; run.Err() == nil; n++ {
			x.publish(p, n)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-x.sent
	})
	return x
}

// publish sends one message to each user.
func (x *crowd) publish(p *ramen.Publisher, n int) {
	all := make([]ramen.Publication, users)
	for i := range all {
		all[i] = ramen.Publication{User: fmt.Sprint("u", i), ID: fmt.Sprint("m", n), Payload: []byte("1")}
	}
	ctx, cancel := context.WithTimeout(context.Background(), testprocess.Patience)
	defer cancel()
	results, err := p.PublishAll(ctx, all)
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		x.refused = append(x.refused, err)
	}
	for _, r := range results {
		if r.Err == nil {
			x.accepted = append(x.accepted, r.User+" "+r.ID)
		} else {
			x.refused = append(x.refused, r.Err)
		}
	}
}

// more waits until that many batches more have been accepted.
func (x *crowd) more(batches int) {
	x.t.Helper()
	count := func() int { x.mu.Lock(); defer x.mu.Unlock(); return len(x.accepted) }
	before := count()
	await(x.t, func() error {
		if now := count(); now < before+batches*users {
			return fmt.Errorf("%d messages more are accepted", now-before)
		}
		return nil
	})
}

// account ends the publisher, and has each device take all that was accepted.
func (x *crowd) account() {
	x.t.Helper()
	x.stop()
	<-x.sent
	await(x.t, func() error {
		x.mu.Lock()
		defer x.mu.Unlock()
		missing := slices.DeleteFunc(slices.Clone(x.accepted), func(m string) bool { return x.taken[m] })
		if len(missing) > 0 {
			return fmt.Errorf("%d messages of %d are missing, such as %s", len(missing), len(x.accepted), missing[0])
		}
		return nil
	})
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hellos != users {
		x.t.Errorf("%d hellos for %d devices: some have lost their stream", x.hellos, users)
	}
	if len(x.refused) > 0 {
		x.t.Errorf("%d publishes failed: %v", len(x.refused), errors.Join(x.refused[:min(3, len(x.refused))]...))
	}
	x.t.Logf("%d messages were accepted, and taken", len(x.accepted))
}

// TestFileIsEditedUnderLoad: shards move, a gateway is added, one is killed and edited out. Nothing accepted is lost, and no device is
// disconnected.
func TestFileIsEditedUnderLoad(t *testing.T) {
	c := newCluster(t)
	c.place("g1", "g2", "g3")
	c.edit("shards: {0-7: g1, 8-15: g2}\n", "g1", "g2")
	c.start("g1", "gateway")
	c.start("g2", "gateway")
	devices := ports.Free(t)
	c.start("f1", "frontend", "--listen.devices", devices, "--listen.devices-grpc", ports.Free(t), "--listen.backends-grpc", ports.Free(t))
	c.settled(map[string]int{"g1": 8, "g2": 8})
	x := newCrowd(t, devices, c.ports["f1"])
	x.more(20)

	c.edit("shards: {0-3: g2, 4-11: g1, 12-15: g2}\n", "g1", "g2")
	c.settled(map[string]int{"g1": 8, "g2": 8})
	x.more(20)

	c.start("g3", "gateway")
	c.edit("shards: {0-3: g2, 4-9: g1, 12-15: g2, 10-11: g3}\n", "g1", "g2", "g3")
	c.settled(map[string]int{"g1": 6, "g2": 8, "g3": 2})
	x.more(20)

	c.all["g2"].Kill()
	delete(c.all, "g2")
	c.edit("shards: {0-7: g1, 8-15: g3}\n", "g1", "g3")
	c.settled(map[string]int{"g1": 8, "g3": 8})
	x.more(20)

	c.edit("gateways: [\n", "g1") // nobody takes it
	await(t, func() error {
		if _, text, err := c.get("f1", "/v1/cluster"); err != nil || !strings.Contains(text, "not in force") {
			return fmt.Errorf("nobody says that the file is wrong: %s %w", text, err)
		}
		return nil
	})
	x.more(20)
	c.edit("", "g1", "g3")
	c.settled(map[string]int{"g1": 8, "g3": 8})
	x.account()

	out, err := exec.Command(binary, "cluster", "status", "--url", "http://"+c.ports["f1"]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "controller  static, by "+c.file) {
		t.Errorf("%v:\n%s", err, out)
	}
	out, err = exec.Command(binary, "cluster", "drain", "g1", "--url", "http://"+c.ports["f1"]).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "change its view file") {
		t.Errorf("%v:\n%s", err, out)
	}
	for _, name := range []string{"f1", "g1", "g3"} {
		if code := c.all[name].Stop(t); code != 0 {
			t.Errorf("%s ends with status %d", name, code)
		}
	}
}
