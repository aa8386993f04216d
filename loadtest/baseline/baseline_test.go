//go:build linux

package baseline

import (
	"bufio"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/loadtest/expect"
	"ramen/loadtest/workers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every order of these tests.
const patience = 20 * time.Second

// serving runs the baseline server until the test ends.
func serving(t *testing.T) (devices, backends string) {
	out, said := io.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, Default(), said)
		_ = said.Close()
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		_, rest, found := strings.Cut(lines.Text(), "http://")
		if at, _, _ := strings.Cut(rest, " "); found && devices == "" {
			devices = at
		} else if found {
			backends = at
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	return devices, backends
}

func TestLoadFindsNothingWrongWithIt(t *testing.T) {
	devices, backends := serving(t)
	l, err := workers.NewLocal(workers.Setup{
		Target: workers.Target{Devices: "http://" + devices, Bare: backends}, Run: "rt", Users: [2]uint32{0, 30}, Devices: 1, Mix: "ws=1,ws-json=1,sse=1",
		Heartbeat: time.Second, Slack: patience, Payload: 256,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	violated := map[expect.Kind]int64{}
	do := func(o workers.Order) *workers.Outcome {
		t.Helper()
		out, err := l.Do(t.Context(), o)
		if err != nil {
			t.Fatalf("%s: %v", o.Verb, err)
		}
		for k, n := range out.Counts {
			violated[k] += n
		}
		return out
	}
	if out := do(workers.Order{Verb: workers.Connect, For: patience}); out.Live != 30 {
		t.Fatalf("%d of 30 streams are there: %v", out.Live, out.Devices.Ends)
	}
	if out := do(workers.Order{Verb: workers.Push, Rate: 1000, For: time.Second, Wait: patience}); out.Published.Accepted != 1000 || out.Devices.New != 1000 {
		t.Errorf("%d accepted, %d pushed", out.Published.Accepted, out.Devices.New)
	}
	if out := do(workers.Order{Verb: workers.Storm, Wait: patience}); out.Live != 30 || out.Devices.Back.Count() != 30 {
		t.Errorf("%d back, %d live", out.Devices.Back.Count(), out.Live)
	}
	if out := do(workers.Order{Verb: workers.Hold, For: 3 * time.Second}); out.Devices.Beats < 30 {
		t.Errorf("%d heartbeats", out.Devices.Beats)
	}
	do(workers.Order{Verb: workers.Verify, Wait: patience})
	if len(violated) > 0 {
		t.Errorf("violated: %v", violated)
	}
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"127.0.0.1:0": func(c *Config) { c.Devices = "localhost" },
		"1s to 60s":   func(c *Config) { c.Heartbeat = time.Hour },
	} {
		cfg := Default()
		change(&cfg)
		if err := Serve(t.Context(), cfg, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; it does not say %q", err, want)
		}
	}
}

func FuzzPublish(f *testing.F) {
	f.Add([]byte("\n\x08\n\x01u\x1a\x01i2\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if user, id, ok := whose(b); ok && len(user)+len(id) > len(b) {
			t.Errorf("%d bytes of %d", len(user)+len(id), len(b))
		}
	})
}
