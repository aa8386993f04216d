package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// quiet drops what net/http says of connections that a script has cut.
var quiet = log.New(io.Discard, "", 0)

// Event is a line of an adapter's.
type Event struct {
	Client    string `json:"client"`
	Event     string `json:"event"`
	State     string `json:"state"`
	Transport string `json:"transport"`
	DelayMS   int    `json:"delay_ms"`
	Resumed   bool   `json:"resumed"`
	Expired   int    `json:"expired"`
	ID        string `json:"id"`
	Payload   string `json:"payload"`
	Of        string `json:"of"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
}

// hail is the first line.
type hail struct {
	Adapter    string   `json:"adapter"`
	Version    string   `json:"version"`
	Transports []string `json:"transports"`
	Can        []string `json:"can"`
	Blind      []string `json:"blind"` // transports over which the platform shows no HTTP status
}

// adapter is a process that holds clients.
type adapter struct {
	hail
	cmd    *exec.Cmd
	in     io.WriteCloser
	errors *tail
	ended  chan struct{}

	mu   sync.Mutex
	runs map[string]func(Event) // guarded by mu: whose events are whose
}

// hailTimeout is how long an adapter may take to start: a JVM on a busy machine does.
const hailTimeout = time.Minute

// startAdapter starts the command of an adapter, in a shell.
func startAdapter(ctx context.Context, command string) (*adapter, error) {
	a := &adapter{cmd: exec.CommandContext(ctx, "sh", "-c", "exec "+command), errors: &tail{}, ended: make(chan struct{}), runs: map[string]func(Event){}}
	a.cmd.Stderr = a.errors
	a.cmd.WaitDelay = time.Second
	a.cmd.Env = append(os.Environ(), "RAMEN_CONFORMANCE=1")
	var err error
	if a.in, err = a.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("conformance: start the adapter: %w", err)
	}
	out, err := a.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("conformance: start the adapter: %w", err)
	}
	if err := a.cmd.Start(); err != nil {
		return nil, fmt.Errorf("conformance: start the adapter: %w", err)
	}
	first := make(chan error, 1)
	go a.read(out, first)
	select {
	case err := <-first:
		if err != nil {
			a.close()
			return nil, fmt.Errorf("conformance: the adapter's first line has to say what it is, see clients/conformance/README.md: %w\n%s", err, a.errors)
		}
	case <-time.After(hailTimeout):
		a.close()
		return nil, fmt.Errorf("conformance: the adapter has not said what it is within %v\n%s", hailTimeout, a.errors)
	}
	return a, nil
}

func (a *adapter) read(out io.Reader, first chan<- error) {
	defer close(a.ended)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 8<<20)
	greeted := false
	for lines.Scan() {
		if !greeted {
			greeted = true
			err := json.Unmarshal(lines.Bytes(), &a.hail)
			if err == nil && (a.Adapter == "" || len(a.Transports) == 0) {
				err = fmt.Errorf("%q has no adapter or no transports", lines.Text())
			}
			first <- err
			continue
		}
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintf(a.errors, "no event: %s\n", lines.Text())
			continue
		}
		a.mu.Lock()
		on := a.runs[e.Client]
		a.mu.Unlock()
		if on != nil {
			on(e)
		}
	}
	if !greeted {
		first <- errors.New("it ended without a line")
	}
}

// on has the events of a client told; nil: no more.
func (a *adapter) on(client string, f func(Event)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f == nil {
		delete(a.runs, client)
		return
	}
	a.runs[client] = f
}

// tell writes a command.
func (a *adapter) tell(command map[string]any) error {
	b, err := json.Marshal(command)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("the adapter takes no more commands: %w", err)
	}
	return nil
}

// close ends the process, by the end of its input.
func (a *adapter) close() {
	_ = a.in.Close()
	t := time.AfterFunc(5*time.Second, func() { _ = a.cmd.Process.Kill() })
	defer t.Stop()
	<-a.ended
	_ = a.cmd.Wait()
}

// tail keeps the end of what was written to it.
type tail struct {
	mu sync.Mutex
	b  bytes.Buffer
}

const mostTail = 64 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(b)
	if extra := t.b.Len() - mostTail; extra > 0 {
		t.b.Next(extra)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(t.b.String())
}
