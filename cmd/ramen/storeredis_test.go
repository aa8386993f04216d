package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"ramen/internal/app"
	"ramen/internal/testapp"
	"ramen/internal/testserver/redistest"
)

// onRedis is a configuration of a server on a Redis that wants hush as the password of the user me.
func onRedis(t *testing.T) app.Config {
	t.Helper()
	s := redistest.Single(t, redistest.Options{User: "me", Password: hush})
	cfg := testapp.Config(t)
	testapp.SetStore(t, &cfg, s.URL())
	if cfg.Store.URL.Scheme() != "redis" || strings.Contains(cfg.Store.URL.String(), hush) {
		t.Fatalf("the store is %s", cfg.Store.URL)
	}
	return cfg
}

// lines is a log that several goroutines write.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestARunningServerDoesNotTellThePasswordOfItsStore in its log at any level, its metrics, its health and its own check.
func TestARunningServerDoesNotTellThePasswordOfItsStore(t *testing.T) {
	cfg := onRedis(t)
	var log lines
	a, err := app.Start(cfg, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	at := a.Addresses()
	publishIDs(t, at, "one")
	told := ""
	for _, path := range []string{"/", "/healthz", "/readyz", "/metrics", "/debug/check", "/debug/config", "/debug/pprof/cmdline"} {
		r, err := http.Get("http://" + at.Backends + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		told += path + "\n" + string(body)
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	told += log.String()
	if strings.Contains(told, hush) {
		t.Errorf("it tells:\n%s", told)
	}
	if !strings.Contains(told, `ramen_store_call_seconds_count{call="append"}`) {
		t.Errorf("the calls of the store are not measured:\n%s", told)
	}
}

// TestTheEmbeddedStoreIsCopiedToRedis: all that waits is there, ids are remembered, and a copy that is done again finds nothing to do.
func TestTheEmbeddedStoreIsCopiedToRedis(t *testing.T) {
	old := filepath.Join(t.TempDir(), "old")
	cfg := onRedis(t)
	at, stop := keeping(t, old)
	poll(t, at, "")
	publishIDs(t, at, "one", "two", "three")
	stop()
	password := write(t, filepath.Join(t.TempDir(), "password"), hush+"\n")
	args := []string{"store", "copy", "pebble:" + old, cfg.Store.URL.String(), "--to-password-file", password}
	if out := good(t, "", args...); !strings.Contains(out, "3 messages, 1 devices and 3 ids of 1 users") {
		t.Errorf("copy: %s", out)
	}
	r := testapp.Start(t, cfg)
	defer r.End(t)
	if p := poll(t, r.At, ""); !slices.Equal(p.ids(), []string{"one", "two", "three"}) {
		t.Errorf("at the copy: %+v", p)
	}
	if out := good(t, "", "publish", "--url", "http://"+r.At.Backends, "--user", "alice", "--id", "one", "{}"); !strings.Contains(out, "duplicate") {
		t.Errorf("an id that was accepted before: %s", out)
	}
	bad(t, "", args, "the target has other data")
}
