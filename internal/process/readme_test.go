package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"ramen/internal/testprocess"
)

const readmePath = "../../README.md"

// readmeTest runs the blocks of README.md in their order, in a directory that looks like a checkout with one small history.
type readmeTest struct {
	t          *testing.T
	dir        string
	server     *server
	background []waiting // of this section
	module     string    // commands with which a module takes the client
}

// waiting is a command in the background, and what it must have written by the end of its section.
type waiting struct {
	block
	s *server
}

// TestReadmeCommandsWork runs every marked block of README.md as it stands there. Ports alone are replaced: those that
// README names by those that the system gave.
func TestReadmeCommandsWork(t *testing.T) {
	for _, tool := range []string{"bash", "curl", "git"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: README.md's commands need %s, which is not there", tool)
		}
	}
	blocks := readBlocks(t)
	r := &readmeTest{t: t, dir: checkout(t)}
	section := ""
	for _, b := range blocks {
		if b.section != section {
			r.endSection()
			section = b.section
		}
		t.Logf("%s: %s: %s", b.section, b.verb, firstLine(b.text))
		r.run(b)
		if t.Failed() {
			return
		}
	}
	r.endSection()
	r.endServer()
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

func (r *readmeTest) run(b block) {
	r.t.Helper()
	text := r.ported(b.text)
	switch b.verb {
	case "serve":
		r.endServer()
		r.serve(text)
	case "run":
		r.foreground(b, text)
	case "background":
		s := r.shell("exec " + text)
		if b.ready != nil && !s.shows(b.ready) {
			r.t.Fatalf("%s: %q did not come:\n%s", text, b.ready, s.All)
		}
		r.background = append(r.background, waiting{b, s})
	case "file":
		write(r.t, filepath.Join(r.dir, b.name), text)
	case "module":
		r.module = b.text
	case "go":
		r.goProgram(b, text)
	default:
		r.t.Fatalf("README.md:%d: there is no test %q", b.line, b.verb)
	}
}

// ported is text with the ports of this test's server.
func (r *readmeTest) ported(text string) string {
	if r.server == nil {
		return text
	}
	at := r.server.at
	return strings.NewReplacer("127.0.0.1:8080", at.devices, "127.0.0.1:8081", at.devicesGRPC, "127.0.0.1:9080", at.backends, "127.0.0.1:9081", at.backendsGRPC).Replace(text)
}

// serve starts a server as text says, on any ports.
func (r *readmeTest) serve(text string) {
	r.t.Helper()
	text = strings.ReplaceAll(text, "make run", "bin/ramen serve --dev") // what the Makefile does once it has built
	r.server = r.shell("exec "+text, "RAMEN_LISTEN_DEVICES=127.0.0.1:0", "RAMEN_LISTEN_DEVICES_GRPC=127.0.0.1:0",
		"RAMEN_LISTEN_BACKENDS=127.0.0.1:0", "RAMEN_LISTEN_BACKENDS_GRPC=127.0.0.1:0", "RAMEN_FRONTEND_DRAIN_TIME=100ms")
	r.server.awaitBanner(r.t)
}

// shell starts text in bash, in a process group of its own.
func (r *readmeTest) shell(text string, env ...string) *server {
	r.t.Helper()
	s := newServer(exec.Command("bash", "-euo", "pipefail", "-c", text))
	s.Cmd.Dir = r.dir
	s.Cmd.Env = append(s.Cmd.Env, env...)
	if r.server != nil {
		at := r.server.at
		s.Cmd.Env = append(s.Cmd.Env, "RAMEN_DEVICES_URL=http://"+at.devices, "RAMEN_DEVICES_GRPC="+at.devicesGRPC, "RAMEN_BACKENDS_URL=http://"+at.backends)
	}
	s.Start(r.t)
	return s
}

// shows waits until what the command has written, to either output, fits.
func (s *server) shows(want *regexp.Regexp) bool {
	return s.All.Await(want.MatchString)
}

// foreground runs a block to its end.
func (r *readmeTest) foreground(b block, text string) {
	r.t.Helper()
	s := r.shell(text)
	status := s.Wait(r.t)
	if status != 0 || (b.want != nil && !b.want.MatchString(s.All.String())) {
		r.t.Errorf("README.md:%d: exit status %d, want output %q:\n%s\n%s", b.line, status, b.want, text, s.All)
	}
}

// goProgram compiles a program in a module outside the repository, which takes the client as README.md says, and runs it.
func (r *readmeTest) goProgram(b block, text string) {
	r.t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		r.t.Fatal(err)
	}
	dir := filepath.Join(r.dir, "app")
	if err := os.Mkdir(dir, 0o700); err != nil {
		r.t.Fatal(err)
	}
	write(r.t, filepath.Join(dir, "main.go"), text)
	if r.module == "" {
		r.t.Fatalf("README.md:%d: nothing says how a module takes the client", b.line)
	}
	script := "go mod init example.com/app\n" + strings.ReplaceAll(r.module, "/src/ramen", root) + "go build -o ../bin/program .\n"
	build := exec.Command("bash", "-euo", "pipefail", "-c", script)
	build.Dir = dir
	build.Env = append(testprocess.Env(), "GOFLAGS=-mod=mod")
	if out, err := build.CombinedOutput(); err != nil {
		r.t.Fatalf("README.md:%d: %v\n%s\n%s", b.line, err, script, out)
	}
	r.foreground(b, "bin/program")
}

// endSection waits for what the commands in the background should have written, and ends them.
func (r *readmeTest) endSection() {
	r.t.Helper()
	for _, w := range r.background {
		if w.want != nil && !w.s.shows(w.want) {
			r.t.Errorf("README.md:%d: %q did not come:\n%s", w.line, w.want, w.s.All)
		}
		w.s.Kill()
	}
	r.background = nil
}

func (r *readmeTest) endServer() {
	r.t.Helper()
	if r.server == nil {
		return
	}
	r.server.Signal(r.t, syscall.SIGTERM)
	if status := r.server.Wait(r.t); status != 0 {
		r.t.Errorf("exit status %d of the server", status)
	}
	r.server = nil
}

// checkout is a directory with the binary where a build puts it, and a git history.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(binary, filepath.Join(dir, "bin", "ramen")); err != nil {
		t.Fatal(err)
	}
	git := func(args ...string) {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_AUTHOR_NAME=A. Uthor", "GIT_AUTHOR_EMAIL=a@example.com",
			"GIT_COMMITTER_NAME=A. Uthor", "GIT_COMMITTER_EMAIL=a@example.com")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	git("init", "-q")
	for i := range 20 {
		git("commit", "-q", "--allow-empty", "-m", fmt.Sprintf("readme: say \"%d\" in 'quotes', & more", i))
	}
	return dir
}

// TestReadmeTableIsTrue compares the table of the configuration with the configuration.
func TestReadmeTableIsTrue(t *testing.T) {
	out, _, status := run(t, nil, "", "config", "--markdown")
	if status != 0 {
		t.Fatalf("exit status %d", status)
	}
	defaults := make(map[string]string)
	for line := range strings.Lines(out) {
		if cells := strings.Split(line, "|"); len(cells) > 4 {
			defaults[unquote(cells[1])] = unquote(cells[3])
		}
	}
	_, table, ok := strings.Cut(readme(t), "<!-- test table -->")
	if !ok {
		t.Fatal("there is no table")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := 0
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.Contains(cells[1], "`") {
			continue
		}
		values := strings.Split(cells[2], ",")
		for i, key := range strings.Split(cells[1], ",") {
			got, known := defaults[unquote(key)]
			if want := unquote(values[min(i, len(values)-1)]); !known || got != want {
				t.Errorf("%s is %q by default, not %q", key, got, want)
			}
			rows++
		}
	}
	if rows < 20 {
		t.Errorf("the table has %d keys", rows)
	}
}

func unquote(cell string) string { return strings.Trim(strings.TrimSpace(cell), "`") }

// TestDeployConfigurationIsGood loads what deploy/ hands out.
func TestDeployConfigurationIsGood(t *testing.T) {
	out, errOut, status := run(t, nil, "", "config", "--effective", "--config", "../../deploy/ramen.yaml")
	if status != 0 || !strings.Contains(out, "max_streams: 500000") {
		t.Errorf("exit status %d: %s", status, errOut)
	}
}
