package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestConfigIsAFileToBeginWith: what is printed is a good file, and means the defaults.
func TestConfigIsAFileToBeginWith(t *testing.T) {
	text := good(t, "", "config")
	file := write(t, filepath.Join(t.TempDir(), "ramen.yaml"), text)
	bad(t, "", []string{"config", "--check", file}, "authentication is not configured")
	t.Setenv("RAMEN_DEV", "true")
	if out := good(t, "", "config", "--check", file); !strings.Contains(out, "is good") {
		t.Errorf("%q", out)
	}
	if a, b := good(t, "", "config", "--effective"), good(t, "", "config", "--effective", "--config", file); a != b {
		t.Errorf("the file means something else than the defaults:\n%s\n%s", a, b)
	}
}

// TestEveryKeyIsExplained: a key without a word is a riddle.
func TestEveryKeyIsExplained(t *testing.T) {
	rows := 0
	for line := range strings.Lines(good(t, "", "config", "--markdown")) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if !strings.HasPrefix(line, "| `") {
			continue
		}
		rows++
		what := strings.TrimSuffix(cells[len(cells)-1], " |")
		if len(cells) < 4 || len(what) < 8 || !strings.HasSuffix(what, ".") || strings.ToUpper(what[:1]) != what[:1] {
			t.Errorf("%s is explained by %q", cells[0], what)
		}
	}
	if rows < 60 {
		t.Errorf("there are %d keys", rows)
	}
	section := regexp.MustCompile(`(?m)^(\S.*)?\n +\w+:\n`) // a section without a comment above it
	if m := section.FindString(good(t, "", "config")); m != "" && !strings.Contains(m, "#") {
		t.Errorf("%q has no comment", m)
	}
}

func TestConfigEffective(t *testing.T) {
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "ramen.yaml"), "dev: true\ngateway:\n  mailbox_messages: 17\n  mailbox_bytes: 5MiB\n")
	t.Setenv("RAMEN_CONFIG", file)
	t.Setenv("RAMEN_GATEWAY_MAILBOX_BYTES", "6MiB")
	out := good(t, "", "config", "--effective")
	if !strings.Contains(out, "mailbox_messages: 17\n") || !strings.Contains(out, "mailbox_bytes: 6MiB\n") {
		t.Errorf("%s", out)
	}
	bad(t, "", []string{"config", "--config", file}, "--effective")
	bad(t, "", []string{"config", "--check", file, "--markdown"}, "check", "markdown")
	bad(t, "", []string{"config", "--check", filepath.Join(dir, "nothing.yaml")}, "nothing.yaml")
}

// TestCheckReadsTheFiles finds a bad key file before the server does.
func TestCheckReadsTheFiles(t *testing.T) {
	dir := t.TempDir()
	secret := write(t, filepath.Join(dir, "secret"), strings.Repeat("s", 32))
	keys := write(t, filepath.Join(dir, "keys.yaml"), "- {name: a}\n")
	file := write(t, filepath.Join(dir, "ramen.yaml"), "auth:\n  tokens:\n    secret_file: "+secret+"\n  keys:\n    file: "+keys+"\n")
	bad(t, "", []string{"config", "--check", file}, keys)
	write(t, keys, "")
	good(t, "", "token", "--backend", "a", "--keys-file", keys)
	good(t, "", "config", "--check", file)
	tls := write(t, filepath.Join(dir, "tls.yaml"), "dev: true\ntls:\n  devices:\n    cert_file: /nowhere.pem\n    key_file: /nowhere.key\n")
	bad(t, "", []string{"config", "--check", tls}, "/nowhere.pem")
}
