package process

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// keyed is a server with authentication, its files, and a key of backends.
func keyed(t *testing.T, more ...string) (s *server, dir, key string) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, "secret"), strings.Repeat("s3cret", 8))
	key = newKey(t, dir, "dispatch")
	flags := append(anyPorts.flags(), "--data", filepath.Join(dir, "data"), "--auth.tokens.secret-file", filepath.Join(dir, "secret"),
		"--auth.keys.file", filepath.Join(dir, "keys.yaml"))
	return start(t, append(flags, more...)...), dir, key
}

// newKey adds a backend to the file of keys.
func newKey(t *testing.T, dir, name string) string {
	t.Helper()
	key, errOut, status := run(t, nil, "", "token", "--backend", name, "--keys-file", filepath.Join(dir, "keys.yaml"))
	if status != 0 {
		t.Fatal(errOut)
	}
	return strings.TrimSpace(key)
}

// publishAs answers the status of a publish with a key.
func publishAs(t *testing.T, s *server, key string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, "http://"+s.at.backends+"/v1/publish", strings.NewReader(`{"user":"alice","payload":1}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestHangupReadsKeysAnew: SIGHUP puts the files in force, and a broken one leaves what was.
func TestHangupReadsKeysAnew(t *testing.T) {
	s, dir, first := keyed(t)
	if got := publishAs(t, s, "nobody's"); got != http.StatusUnauthorized {
		t.Errorf("a wrong key is answered %d", got)
	}
	if got := publishAs(t, s, first); got != http.StatusOK {
		t.Errorf("the key is answered %d", got)
	}
	second := newKey(t, dir, "billing")
	s.Signal(t, syscall.SIGHUP)
	s.Err.AwaitText(t, "SIGHUP: key and certificate files reloaded")
	if got := publishAs(t, s, second); got != http.StatusOK {
		t.Errorf("a key that was added is answered %d", got)
	}
	write(t, filepath.Join(dir, "keys.yaml"), "this is: [no list")
	s.Signal(t, syscall.SIGHUP)
	s.Err.AwaitText(t, "could not be loaded; the earlier one stays in use")
	if got := publishAs(t, s, second); got != http.StatusOK {
		t.Errorf("after a broken file the key is answered %d", got)
	}
	s.Signal(t, syscall.SIGTERM)
	if status := s.Wait(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// TestTokensOpenStreams goes through with tokens, over each transport: with a good one, without one, with another's.
func TestTokensOpenStreams(t *testing.T) {
	s, dir, key := keyed(t)
	token := func(user, device string) string {
		out, errOut, status := run(t, nil, "", "token", "--user", user, "--device", device, "--secret-file", filepath.Join(dir, "secret"))
		if status != 0 {
			t.Fatal(errOut)
		}
		return strings.TrimSpace(out)
	}
	for i, transport := range allTransports {
		device := string(transport)
		if got := publishAs(t, s, key); got != http.StatusOK {
			t.Fatalf("publish is answered %d", got)
		}
		args := []string{"listen", "--url", "http://" + s.at.devices, "--grpc", s.at.devicesGRPC, "--transport", device, "--device", device, "--count", "1", "--json"}
		out, errOut, status := run(t, []string{"RAMEN_TOKEN=" + token("alice", device)}, "", args...)
		if status != 0 || !strings.Contains(out, `"payload":1`) {
			t.Errorf("%d %s: exit status %d: %s%s", i, transport, status, out, errOut)
		}
		if _, errOut, status = run(t, nil, "", append(args, "--user", "alice")...); status != 1 || !strings.Contains(errOut, "does not accept the credentials") {
			t.Errorf("%s without a token: exit status %d: %s", transport, status, errOut)
		}
		if _, errOut, status = run(t, []string{"RAMEN_TOKEN=" + token("alice", "another")}, "", args...); status != 1 || !strings.Contains(errOut, "the token is not for this user or device: ") {
			t.Errorf("%s with another's token: exit status %d: %s", transport, status, errOut)
		}
	}
	if strings.Contains(s.All.String(), "eyJ") {
		t.Error("a token is in the log")
	}
}

// TestListenIntoHead is ramen listen | head -1 in a shell.
func TestListenIntoHead(t *testing.T) {
	s := start(t, append(anyPorts.flags(), "--dev", "--data", t.TempDir())...)
	if got := publish(t, s, `{"user":"alice","payload":"for head"}`); !strings.Contains(got, "accepted") {
		t.Fatal(got)
	}
	r := &readmeTest{t: t, dir: t.TempDir(), server: s}
	if err := os.Symlink(binary, filepath.Join(r.dir, "ramen")); err != nil {
		t.Fatal(err)
	}
	pipe := r.shell("./ramen listen --quiet --user alice | head -1")
	if status := pipe.Wait(t); status != 0 || !strings.Contains(pipe.Out.String(), "for head") {
		t.Errorf("exit status %d, %s", status, pipe.All)
	}
}
