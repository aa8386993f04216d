package process

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"ramen/internal/ports"
	"ramen/loadtest/ledger/judge"
	"ramen/loadtest/ledger/observe"
	"ramen/loadtest/machine"
)

// StartTime bounds how long a start, or an end in order, may take, on a slow machine and with the race detector.
const StartTime = 60 * time.Second

// Config says what a process is.
type Config struct {
	Binary string
	Dir    string   // where its log goes, and its data
	Name   string   // of its files in Dir
	Args   []string // of serve, beside the addresses and the data
	// Empty has each start find an empty data folder: what comes back has come from a store elsewhere.
	Empty bool
	Clock observe.Clock
}

// Process is a server that is killed and started again at the same ports. Its methods are for one goroutine, but for AwaitUp, Up and At.
type Process struct {
	// immutable
	cfg     Config
	at      observe.Addresses
	release []func() error // the addresses, at the end
	probe   *http.Client

	// owned by the goroutine that starts and kills
	cmd *exec.Cmd
	log *os.File

	kills   []judge.Moment
	faults  []string
	slowest time.Duration // of the starts
	gone    chan struct{} // closed when the process has ended

	mu sync.Mutex
	up chan struct{} // guarded by mu: closed while it serves
}

// New is a process that was not started. Close has to be called.
func New(cfg Config) (p *Process, err error) {
	p = &Process{cfg: cfg, up: make(chan struct{}), probe: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	for _, at := range []*string{&p.at.Devices, &p.at.DevicesGRPC, &p.at.Backends, &p.at.BackendsGRPC} {
		var release func() error
		if *at, release, err = ports.Reserve(); err != nil {
			return nil, err
		}
		p.release = append(p.release, release)
	}
	if p.log, err = os.Create(filepath.Join(cfg.Dir, cfg.Name+".log")); err != nil {
		return nil, fmt.Errorf("process: make the log of %s: %w", cfg.Name, err)
	}
	return p, nil
}

// At is where the process listens, in all its lives.
func (p *Process) At() observe.Addresses { return p.at }

// Name is what the process was called.
func (p *Process) Name() string { return p.cfg.Name }

// Kills are the moments just before each SIGKILL, in order.
func (p *Process) Kills() []judge.Moment { return p.kills }

// Faults are what was found wrong with the process itself.
func (p *Process) Faults() []string { return p.faults }

// SlowestStart is the longest time from a start to the first readiness.
func (p *Process) SlowestStart() time.Duration { return p.slowest }

// Start starts a process and waits until it takes publishes.
func (p *Process) Start(ctx context.Context) error {
	began := time.Now()
	if err := p.Launch(); err != nil {
		return err
	}
	for !p.Ready(ctx) {
		select {
		case <-p.gone:
			return fmt.Errorf("process: %s does not start: %v: %s", p.cfg.Name, p.cmd.ProcessState, p.lastWords())
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
		if time.Since(began) > StartTime {
			return fmt.Errorf("process: %s is not ready after %v: %s", p.cfg.Name, StartTime, p.lastWords())
		}
	}
	p.slowest = max(p.slowest, time.Since(began))
	p.SetUp()
	return nil
}

// SetUp has AwaitUp return. Start does it once the process takes publishes.
func (p *Process) SetUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.up:
	default:
		close(p.up)
	}
}

// setDown has AwaitUp wait.
func (p *Process) setDown() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.up:
		p.up = make(chan struct{})
	default: // it was not ready yet
	}
}

// Launch starts a process, and does not wait for it.
func (p *Process) Launch() error {
	data := filepath.Join(p.cfg.Dir, p.cfg.Name)
	if p.cfg.Empty {
		if err := os.RemoveAll(data); err != nil {
			return fmt.Errorf("process: empty the data of %s: %w", p.cfg.Name, err)
		}
	}
	cmd := exec.Command(p.cfg.Binary, append([]string{"serve", "--dev", "--data", data, "--log.level", "warn",
		"--listen.devices", p.at.Devices, "--listen.devices-grpc", p.at.DevicesGRPC,
		"--listen.backends", p.at.Backends, "--listen.backends-grpc", p.at.BackendsGRPC}, p.cfg.Args...)...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "RAMEN_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Stderr = p.log
	cmd.SysProcAttr = machine.OwnGroup()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("process: start %s: %w", p.cfg.Name, err)
	}
	gone := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(gone)
	}()
	p.cmd, p.gone = cmd, gone
	return nil
}

// Kill is kill -9. A server that has ended by itself before is a fault.
func (p *Process) Kill() {
	p.setDown()
	if !p.Running() {
		p.faults = append(p.faults, fmt.Sprintf("%s ended by itself before kill %d: %v: %s", p.cfg.Name, len(p.kills)+1, p.cmd.ProcessState, p.lastWords()))
	}
	p.kills = append(p.kills, p.cfg.Clock.Now())
	_ = p.cmd.Process.Kill()
	<-p.gone
}

// KillInStart starts the server and kills it at once, within a time that is drawn.
func (p *Process) KillInStart(rng *rand.Rand) error {
	if err := p.Launch(); err != nil {
		return err
	}
	<-time.After(time.Duration(rng.Int64N(int64(150 * time.Millisecond))))
	p.Kill()
	return nil
}

// Stop ends the server in order.
func (p *Process) Stop() {
	p.setDown()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.gone:
		if !p.cmd.ProcessState.Success() {
			p.faults = append(p.faults, fmt.Sprintf("after SIGTERM %s ended with %v: %s", p.cfg.Name, p.cmd.ProcessState, p.lastWords()))
		}
	case <-time.After(StartTime):
		p.faults = append(p.faults, fmt.Sprintf("%s did not end after SIGTERM: %s", p.cfg.Name, p.lastWords()))
	}
}

// Running reports whether there is a process.
func (p *Process) Running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.gone:
		return false
	default:
		return true
	}
}

// Close kills the server for good, and looks for what the race detector has said.
func (p *Process) Close() {
	for _, release := range p.release {
		_ = release()
	}
	p.release = nil
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		<-p.gone
		p.cmd = nil
		if text, err := os.ReadFile(p.log.Name()); err == nil && strings.Contains(string(text), "DATA RACE") {
			p.faults = append(p.faults, "the race detector has found something: see "+p.log.Name())
		}
	}
	if p.log != nil {
		_ = p.log.Close()
	}
}

// AwaitUp waits until the server is there, and answers where; false: ctx has ended.
func (p *Process) AwaitUp(ctx context.Context) (observe.Addresses, bool) {
	p.mu.Lock()
	up := p.up
	p.mu.Unlock()
	select {
	case <-up:
		return p.at, true
	case <-ctx.Done():
		return observe.Addresses{}, false
	}
}

// lastWords is the end of the server's log.
func (p *Process) lastWords() string {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(text[max(0, len(text)-1500):]))
}

// Pause is SIGSTOP: it returns once the process is stopped. AwaitUp waits meanwhile.
func (p *Process) Pause() error {
	p.setDown()
	return p.signal(syscall.SIGSTOP)
}

// Continue is SIGCONT, after Pause.
func (p *Process) Continue() error {
	if err := p.signal(syscall.SIGCONT); err != nil {
		return err
	}
	p.SetUp()
	return nil
}

func (p *Process) signal(sig syscall.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil {
		return fmt.Errorf("process: send %v to %s: %w", sig, p.cfg.Name, err)
	}
	return nil
}

// PID is the number of the process that was launched last, even if it has ended; 0: none was.
func (p *Process) PID() int {
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// Log is the file that the process logs to.
func (p *Process) Log() string { return p.log.Name() }
