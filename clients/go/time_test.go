package ramen

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ramen/protocol"
)

// SPEC 2.8
func TestWatchdogBarksAfterSilenceAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		barked := make(chan time.Duration, 1)
		w := newWatchdog(7*time.Second, func() { barked <- time.Since(begin) })
		for range 10 {
			time.Sleep(6 * time.Second)
			w.alive()
		}
		if at := <-barked; at != 67*time.Second {
			t.Errorf("barked after %v, want 67s", at)
		}
		w.stop()
	})
}

func TestWatchdogStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchdog(time.Second, func() { t.Error("barked") })
		w.allow(2 * time.Second)
		time.Sleep(1500 * time.Millisecond)
		w.stop()
		w.allow(time.Second)
		time.Sleep(time.Hour)
	})
}

// SPEC 2.8: 7, 14, 28, 28 s, and 7 again once a push has come.
func TestPatienceDoublesUntilAPush(t *testing.T) {
	var d Device
	for _, want := range []time.Duration{7, 14, 28, 28} {
		if got := d.patience(7 * time.Second); got != want*time.Second {
			t.Errorf("silence of %v allowed, want %v", got, want*time.Second)
		}
		d.doubt()
	}
	if got := d.patience(105 * time.Second); got != 105*time.Second {
		t.Errorf("a long interval's silence became %v", got)
	}
	d.trust()
	if got := d.patience(7 * time.Second); got != 7*time.Second {
		t.Errorf("silence of %v allowed after a push", got)
	}
}

func TestSilenceFollowsHello(t *testing.T) {
	for _, c := range []struct{ hello, asked, want time.Duration }{
		{0, 0, 7 * time.Second},
		{0, time.Second, 1750 * time.Millisecond},
		{10 * time.Second, time.Second, 10 * time.Second},
		{time.Millisecond, 0, 1750 * time.Millisecond},
		{time.Hour, 0, 105 * time.Second},
	} {
		if got := silenceFor(c.hello, c.asked); got != c.want {
			t.Errorf("silenceFor(%v, %v) = %v, want %v", c.hello, c.asked, got, c.want)
		}
	}
}

// SPEC 2.6: at least 1,000.
func TestSeenRemembersTheLatest(t *testing.T) {
	var s seen
	id := func(i int) protocol.MessageID { return protocol.MessageID(fmt.Sprint(i)) }
	for i := range 3 * seenSize {
		s.add(id(i))
		s.add(id(i))
	}
	for i := range 3 * seenSize {
		if want := i >= 2*seenSize; s.has(id(i)) != want {
			t.Fatalf("id %d of %d: remembered is %v", i, 3*seenSize, !want)
		}
	}
	if len(s.ids) != seenSize {
		t.Errorf("keeps %d ids", len(s.ids))
	}
}

func TestExpiryIsRead(t *testing.T) {
	at := time.UnixMilli(1763762400500)
	if got := expiry(jwt("u", at)); !got.Equal(at) {
		t.Errorf("expiry is %v, want %v", got, at)
	}
	for _, bad := range []string{"", "opaque", "a.b.c", "a.e30.c", "a.!!.c"} {
		if got := expiry(bad); !got.IsZero() {
			t.Errorf("expiry of %q is %v", bad, got)
		}
	}
}

// TestFix08FileCursorTellsTornFromForeign: what a crash leaves is no cursor yet; a file of somebody else's is an error.
func TestFix08FileCursorTellsTornFromForeign(t *testing.T) {
	f := FileCursor(filepath.Join(t.TempDir(), "cursor"))
	if c, err := f.Load(t.Context()); c != "" || err != nil {
		t.Errorf("no file: %q, %v", c, err)
	}
	for _, torn := range []string{"", "\n", "\x00\x00"} {
		if err := os.WriteFile(string(f), []byte(torn), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := f.Load(t.Context()); c != "" || err != nil {
			t.Errorf("%q: %q, %v", torn, c, err)
		}
	}
	for _, foreign := range []string{"two words", "k3.x\nk3.y", strings.Repeat("x", 1<<20)} {
		if err := os.WriteFile(string(f), []byte(foreign), 0o600); err != nil {
			t.Fatal(err)
		}
		if c, err := f.Load(t.Context()); c != "" || err == nil || f.Check() == nil {
			t.Errorf("%.20q: %q, %v", foreign, c, err)
		}
	}
	if err := f.Save(t.Context(), "k3.x"); err != nil {
		t.Fatal(err)
	}
	if c, err := f.Load(t.Context()); c != "k3.x" || err != nil {
		t.Errorf("saved: %q, %v", c, err)
	}
	if left, _ := filepath.Glob(string(f) + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestConfigSaysWhatWouldBeRight(t *testing.T) {
	good := DeviceConfig{URL: "http://h", User: "u", Device: "d", Handler: collect(newCollector())}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(c *DeviceConfig){
		"nowhere":     func(c *DeviceConfig) { c.URL = "" },
		"no scheme":   func(c *DeviceConfig) { c.URL = "h:1" },
		"no gRPC":     func(c *DeviceConfig) { c.Transports = []Transport{GRPC} },
		"transport":   func(c *DeviceConfig) { c.Transports = []Transport{"carrier pigeon"} },
		"nobody":      func(c *DeviceConfig) { c.User = "" },
		"bad user":    func(c *DeviceConfig) { c.User = "a b" },
		"no device":   func(c *DeviceConfig) { c.Device = "" },
		"no handler":  func(c *DeviceConfig) { c.Handler = nil },
		"heartbeat":   func(c *DeviceConfig) { c.Heartbeat = time.Millisecond },
		"window":      func(c *DeviceConfig) { c.Window = -1 },
		"big context": func(c *DeviceConfig) { c.Context = &DeviceContext{App: string(make([]byte, 2000))} },
	} {
		c := good
		spoil(&c)
		if err := c.Validate(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
