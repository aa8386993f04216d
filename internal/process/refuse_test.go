package process

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ramen/internal/testprocess"
)

// TestASecondProcessIsRefused starts another process on the same data: it ends with a word, and the first goes on.
func TestASecondProcessIsRefused(t *testing.T) {
	data := t.TempDir()
	s := start(t, append(anyPorts.flags(), "--dev", "--data", data)...)
	out, errOut, status := run(t, nil, "", append(anyPorts.flags(), "serve", "--dev", "--data", data)...)
	if status != 1 || !strings.Contains(errOut, data) || !strings.Contains(errOut, "in use by another ramen process") || out != "" {
		t.Errorf("exit status %d, %q%q", status, out, errOut)
	}
	if got := publish(t, s, `{"user":"alice","payload":1}`); !strings.Contains(got, `"accepted"`) {
		t.Errorf("the first process answers %s", got)
	}
	s.Kill()
	start(t, append(anyPorts.flags(), "--dev", "--data", data)...) // the lock of a killed process does not stay
}

// TestNonsenseIsRefused starts what must not start. Each refusal says what is wrong, and what would be right.
func TestNonsenseIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	write(t, file, "")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	misspelt, secret := filepath.Join(dir, "misspelt.yaml"), filepath.Join(dir, "short")
	write(t, misspelt, "dev: true\ngateway:\n  mailbx_bytes: 64MiB\n  mailbox_messages: many\n")
	write(t, secret, "too short")
	ports := anyPorts.flags()

	for _, c := range []struct {
		name string
		env  []string
		args []string
		says []string
	}{
		{"no authentication", nil, nil, []string{"auth.tokens", "secret_file", "auth.keys.file", "--dev"}},
		{"dev with keys", nil, []string{"--dev", "--auth.keys.file", file}, []string{"dev turns authentication off", "take one of them away"}},
		{"no key file", nil, []string{"--auth.tokens.secret-file", "/nowhere/secret", "--auth.keys.file", file}, []string{"/nowhere/secret"}},
		{"short secret", nil, []string{"--auth.tokens.secret-file", secret, "--auth.keys.file", file}, []string{secret, "32"}},
		{"unknown keys", nil, []string{"--config", misspelt}, []string{
			misspelt + ":3: gateway.mailbx_bytes", "the nearest is gateway.mailbox_bytes", misspelt + ":4: gateway.mailbox_messages", "whole number"}},
		{"unknown keys by RAMEN_CONFIG", []string{"RAMEN_CONFIG=" + misspelt}, nil, []string{misspelt + ":3: gateway.mailbx_bytes"}},
		{"no file", nil, []string{"--config", "/nowhere.yaml"}, []string{"/nowhere.yaml", "no such file"}},
		{"unknown variable", []string{"RAMEN_GATWAY_MAILBOX_BYTES=1MiB"}, []string{"--dev"}, []string{"RAMEN_GATWAY_MAILBOX_BYTES", "the nearest is RAMEN_GATEWAY_MAILBOX_BYTES"}},
		{"unknown flag", nil, []string{"--dev", "--gateway.mailbox-byte=1MiB"}, []string{"--gateway.mailbox-byte", "the nearest is --gateway.mailbox-bytes", "serve --help"}},
		{"bad flag", nil, []string{"--dev", "--frontend.heartbeat", "4"}, []string{"--frontend.heartbeat", "500ms"}},
		{"bad variable", []string{"RAMEN_FRONTEND_HEARTBEAT=1ms"}, []string{"--dev"}, []string{"heartbeat is 1ms", "1s to 60s"}},
		{"bad address", nil, []string{"--dev", "--listen.devices", "8080"}, []string{"listen.devices", `"8080"`, ":8080"}},
		{"bad level", nil, []string{"--dev", "--log.level", "loud"}, []string{"log.level", "debug, info, warn or error"}},
		{"occupied port", nil, []string{"--dev", "--data", t.TempDir(), "--listen.backends", taken.Addr().String()}, []string{"listen.backends", taken.Addr().String(), "address already in use"}},
		{"data under a file", nil, []string{"--dev", "--data", filepath.Join(file, "data")}, []string{filepath.Join(file, "data"), "not a directory"}},
		{"data is a file", nil, []string{"--dev", "--data", file}, []string{file, "not a directory"}},
		{"an argument", nil, []string{"--dev", "now"}, []string{"now"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errOut, status := run(t, c.env, "", append(append([]string{"serve"}, ports...), c.args...)...)
			if status != 1 {
				t.Errorf("exit status %d, not 1", status)
			}
			if out != "" {
				t.Errorf("standard output has %q", out)
			}
			for _, want := range c.says {
				if !strings.Contains(errOut, want) {
					t.Errorf("it does not say %q, but:\n%s", want, errOut)
				}
			}
		})
	}
}

// TestUnwritableDataIsRefused runs as somebody whom permissions bind.
func TestUnwritableDataIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, append(anyPorts.flags(), "serve", "--dev", "--data", filepath.Join(dir, "data"))...)
	cmd.Env = testprocess.Env()
	if os.Geteuid() == 0 { // root writes everywhere
		if err := os.Chmod(filepath.Dir(binary), 0o755); err != nil {
			t.Fatal(err)
		}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		t.Skipf("skipped: the binary cannot be run as another user: %v", err)
	}
	if status := cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(string(out), dir) || !strings.Contains(string(out), "permission denied") {
		t.Errorf("exit status %d, %q", status, out)
	}
}

// TestRefusedStartLeavesNothing shows that a start that fails after the store was opened lets go of it.
func TestRefusedStartLeavesNothing(t *testing.T) {
	data := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := anyPorts
	at.backendsGRPC = taken.Addr().String()
	if _, errOut, status := run(t, nil, "", append(at.flags(), "serve", "--dev", "--data", data)...); status != 1 {
		t.Errorf("exit status %d: %s", status, errOut)
	}
	taken.Close()
	s := start(t, append(at.flags(), "--dev", "--data", data)...)
	s.Signal(t, syscall.SIGTERM)
	if status := s.Wait(t); status != 0 {
		t.Errorf("exit status %d: %s", status, s.Err)
	}
}

// TestAnotherNumberOfShardsIsRefused: users would not be found where they are kept.
func TestAnotherNumberOfShardsIsRefused(t *testing.T) {
	flags := append(anyPorts.flags(), "--dev", "--data", t.TempDir())
	s := start(t, flags...)
	if got := publish(t, s, `{"user":"alice","id":"kept","payload":1}`); !strings.Contains(got, "accepted") {
		t.Fatal(got)
	}
	s.Kill()
	_, errOut, status := run(t, nil, "", append([]string{"serve", "--shards", "16"}, flags...)...)
	if status != 1 || !strings.Contains(errOut, "1024 shards") || !strings.Contains(errOut, "shards is 16") {
		t.Errorf("exit status %d: %s", status, errOut)
	}
	if _, body := start(t, flags...).get(t, "/v1/users/alice/messages"); !strings.Contains(body, `"kept"`) {
		t.Errorf("the message is gone: %s", body)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
