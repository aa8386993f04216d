package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestPublishOne(t *testing.T) {
	at := serving(t)
	if out := good(t, "", "publish", "--user", "alice", "--id", "m1", `{"n": 1}`); out != "accepted m1 for alice, known devices: 0\n" {
		t.Errorf("%q", out)
	}
	if out := good(t, "", "publish", "--user", "alice", "--id", "m1", `{"n":1}`); !strings.HasPrefix(out, "duplicate m1 ") {
		t.Errorf("%q", out)
	}
	if out := good(t, "[1,2]\n", "publish", "--user", "bob", "-"); !strings.HasPrefix(out, "accepted ") {
		t.Errorf("%q", out)
	}
	if out := good(t, "", "publish", "--grpc", at.BackendsGRPC, "--users", "alice,bob,carol", "--priority", "high", "--ttl", "1m",
		"--header", "trace=1", "--where", "app=rider", "--collapse-key", "k", "--type", "x", "--content-type", "text/plain", "hello"); strings.Count(out, "accepted") != 3 {
		t.Errorf("%q", out)
	}
	bad(t, "", []string{"publish", "{}"}, "the message has no user: give --user or --users")
	bad(t, "", []string{"publish", "--user", "alice", "{"}, "payload is not one JSON value")
	bad(t, "", []string{"publish", "--user", "alice", "--priority", "urgent", "1"}, `"urgent"`, "high, medium or low")
	bad(t, "", []string{"publish", "--user", "alice", "--ttl", "1us", "1"}, "ttl_ms", "1000", "from 1000 to the server's limit")
	bad(t, "", []string{"publish", "--user", "alice", "--as", "json", "1"}, "--file")
	bad(t, "", []string{"publish", "--user", "alice", "--file", "-", "1"}, "which each line has itself")
	bad(t, "", []string{"publish", "--user", "alice", "--users", "bob", "1"}, "user", "users")
	bad(t, "", []string{"publish", "--url", "http://" + at.Devices, "--user", "alice", "1"}, "unknown path", "/ramen/receive")
}

// TestPublishSaysWhyItGivesUp: "deadline exceeded" helps nobody.
func TestPublishSaysWhyItGivesUp(t *testing.T) {
	for _, where := range [][]string{{"--url", "http://127.0.0.1:1"}, {"--grpc", "127.0.0.1:1"}} {
		args := append([]string{"publish", "--user", "alice", "--timeout", "300ms", "1"}, where...)
		bad(t, "", args, "gave up after --timeout 300ms", "connection refused")
		bad(t, "1\n", append([]string{"publish", "--user", "alice", "--timeout", "300ms", "--as", "json", "--file", "-"}, where...),
			"connection refused", "1 not known", "lines 1 to 1")
	}
}

func TestPublishLines(t *testing.T) {
	serving(t)
	file := filepath.Join(t.TempDir(), "messages.ndjson")
	text := `{"user":"alice","id":"a","payload":1}

{"users":["alice","bob"],"id":"b","payload":{"n":2}}
{"id":"c","priority":"low"}
{"user":"alice","id":"a","payload":1}
`
	if err := os.WriteFile(file, []byte(strings.TrimSuffix(text, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	_, errOut, status := command(t, "", "publish", "--file", file, "--user", "carol")
	if status != 0 || !strings.HasPrefix(errOut, "4 accepted, 1 duplicates, 0 rejected in ") {
		t.Errorf("exit status %d: %s", status, errOut)
	}
	if _, errOut, status := command(t, text, "publish", "--file", "-", "--user", "carol", "--quiet"); status != 0 || errOut != "" {
		t.Errorf("exit status %d: %s", status, errOut)
	}
	if _, errOut, status := command(t, "plain \"text\"\nmore\n", "publish", "--file", "-", "--user", "carol", "--as", "text"); status != 0 || !strings.HasPrefix(errOut, "2 accepted") {
		t.Errorf("exit status %d: %s", status, errOut)
	}
	bad(t, "", []string{"publish", "--file", "/nowhere", "--user", "carol"}, "/nowhere", "no such file")
}

// TestRejectedLinesAreNamed: the others go through all the same.
func TestRejectedLinesAreNamed(t *testing.T) {
	serving(t)
	lines := `{"user":"alice","payload":1}
{"user":"alice","payloud":1}
text
{"user":"alice","priority":"urgent"}
{"payload":1}
{"messages":[{"user":"alice"}]}
{"user":"al ice"}
{"user":"alice","payload":"` + strings.Repeat("x", 70_000) + `"}
{"user":"alice","payload":2}
`
	bad(t, lines, []string{"publish", "--file", "-"},
		"line 2: ", "payloud", "line 3: not a JSON object; if the line is the payload itself, use --as json or --as text",
		`line 4: invalid_argument: priority "urgent" is unknown`, "line 5: the message has no user", "line 6: the line is a batch",
		"line 7: ", "line 8: ", "65536", "2 accepted, 0 duplicates, 7 rejected", "7 messages were rejected")
	many := strings.Repeat("x\n", maxNamed+5)
	_, errOut, _ := command(t, many, "publish", "--file", "-")
	if n := strings.Count(errOut, "\nline ") + 1; n != maxNamed || !strings.Contains(errOut, "more lines are rejected") {
		t.Errorf("%d lines are named:\n%s", n, errOut)
	}
	bad(t, `{"user":"alice"}`+"\n"+strings.Repeat("x", maxLine+1), []string{"publish", "--file", "-"}, "line 2 is longer than 4194304 bytes", "1 accepted")
}

func TestProgressIsALine(t *testing.T) {
	var out bytes.Buffer
	y := &tally{out: &out, size: 1000, done: 500, start: time.Now(), bar: true, accepted: 7, rejected: 1}
	y.show()
	if got := out.String(); !strings.HasPrefix(got, eraseLine+"[===============               ]  50 %  7 accepted, 1 rejected, ") {
		t.Errorf("%q", got)
	}
	y.reject(3, os.ErrInvalid) // on a line of its own, and the bar comes again
	y.show()                   // too early to be seen
	if got := out.String(); !strings.HasSuffix(got, eraseLine+"line 3: invalid argument\n") {
		t.Errorf("%q", got)
	}
	out.Reset()
	y.done, y.showed = 2000, time.Time{} // a file that grew
	y.show()
	if got := out.String(); !strings.Contains(got, strings.Repeat("=", barWidth)+"] 100 %") {
		t.Errorf("%q", got)
	}
	out.Reset()
	y.size, y.showed = 0, time.Time{}
	y.show()
	if got := out.String(); !strings.HasPrefix(got, eraseLine+"7 accepted, 2 rejected, ") {
		t.Errorf("%q", got)
	}
}
