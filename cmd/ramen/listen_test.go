package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var transports = []string{"ws", "ws-json", "grpc", "sse", "poll"}

// TestListenGoesOnWhereItWas reads one message a run, over another transport each time, with its place in a file.
func TestListenGoesOnWhereItWas(t *testing.T) {
	serving(t)
	place := filepath.Join(t.TempDir(), "cursor")
	for i := range transports {
		good(t, "", "publish", "--user", "alice", "--type", fmt.Sprintf("t%d", i), "{}")
	}
	for i, transport := range transports {
		out := good(t, "", "listen", "--user", "alice", "--transport", transport, "--count", "1", "--cursor-file", place)
		if !strings.Contains(out, fmt.Sprintf(" medium t%d {}\n", i)) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s: %q", transport, out)
		}
	}
}

// TestListenJSONHasAllFields prints what the wire has.
func TestListenJSONHasAllFields(t *testing.T) {
	serving(t)
	for _, transport := range transports {
		good(t, "", "publish", "--user", transport, "--id", "m1", "--type", "x", "--priority", "high", "--header", "trace=7", "--collapse-key", "k", `{"a": [1, 2]}`)
		out := good(t, "", "listen", "--user", transport, "--transport", transport, "--count", "1", "--json", "--quiet")
		var m struct {
			ID, Type, Priority string
			Payload            json.RawMessage
			Headers            map[string]string
			CollapseKey        string `json:"collapse_key"`
		}
		if err := json.Unmarshal([]byte(out), &m); err != nil {
			t.Fatal(err)
		}
		if m.ID != "m1" || m.Type != "x" || m.Priority != "high" || string(m.Payload) != `{"a":[1,2]}` || m.Headers["trace"] != "7" || m.CollapseKey != "k" {
			t.Errorf("%s: %s", transport, out)
		}
	}
}

func TestListenPrintsText(t *testing.T) {
	serving(t)
	good(t, "", "publish", "--user", "alice", "--content-type", "text/plain", "a line")
	good(t, "", "publish", "--user", "alice", "--content-type", "image/png", "\x89PNG")
	out := good(t, "", "listen", "--user", "alice", "--count", "2")
	if !strings.Contains(out, " - a line\n") || !strings.Contains(out, " - image/png iVBORw==\n") {
		t.Errorf("%q", out)
	}
}

// TestListenSaysWhyItEnds: what no reconnecting mends is an error.
func TestListenSaysWhyItEnds(t *testing.T) {
	at := serving(t)
	bad(t, "", []string{"listen"}, "user and token are both empty")
	bad(t, "", []string{"listen", "--user", "alice", "--transport", "pigeon"}, "pigeon", "ws, ws-proto, ws-json, grpc, sse or poll")
	bad(t, "", []string{"listen", "--user", "al ice"}, "user has U+0020")
	bad(t, "", []string{"listen", "--user", "alice", "--heartbeat", "10ms"}, "1s to 60s")
	bad(t, "", []string{"listen", "--user", "alice", "--url", "ftp://" + at.Devices}, "use http://host:port or https://host:port")
	bad(t, "", []string{"listen", "--user", "alice", "--ca", "/nowhere"}, "/nowhere")
}

// TestListenEndsWithItsReader is ramen listen | head -1: it ends without waiting for a message that it cannot print, and
// what nobody read comes again.
func TestListenEndsWithItsReader(t *testing.T) {
	serving(t)
	good(t, "", "publish", "--user", "alice", "--type", "first", "1")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan int)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		done <- execute(ctx, []string{"listen", "--user", "alice"}, nil, w, io.Discard)
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil || !strings.Contains(line, "first") {
		t.Errorf("%q, %v", line, err)
	}
	r.Close()
	if status := <-done; status != 0 {
		t.Errorf("exit status %d", status)
	}
	w.Close()
	good(t, "", "publish", "--user", "alice", "--type", "second", "2")
	if out := good(t, "", "listen", "--user", "alice", "--count", "1"); !strings.Contains(out, "second") {
		t.Errorf("%q comes, though the first was acked", out)
	}
}
