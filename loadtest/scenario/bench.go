package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ramen/loadtest/machine"
	"ramen/loadtest/report"
	"ramen/loadtest/stats"
	"ramen/loadtest/workers"
)

// Config is where scenarios run.
type Config struct {
	Target  workers.Target
	PIDs    []int  // of the server's processes, where they are on this machine; empty: not known
	Metrics string // URL of its /metrics; empty: none
	// StorePIDs are the processes of the server's store, where they are on this machine; empty: not known.
	StorePIDs []int
	// Measuring is called when what is measured begins, in scenarios push and replay; nil: nobody wants to know.
	Measuring func()

	Serve  *machine.ServerConfig // start one for each scenario instead; nil: none
	Binary string                // this program, to make workers of; empty: all in this process
	LoadOn []int                 // processors for the workers; none: any
	Live   io.Writer             // a terminal, gets a line that is written over and over; nil: none
	Width  func() int            // of Live, in characters; nil: 80
}

// bench is one scenario under way.
type bench struct {
	cfg     *Config
	p       *Params
	workers *workers.Pool
	pids    []int
	scrape  string
	client  *http.Client
	out     *report.Section
	doing   doing
	began   time.Time
	self    time.Duration // CPU time of the workers
	busy    float64       // of it in the last order, percent of a processor

	mu      sync.Mutex
	watched []stats.Usage // guarded by mu: the server's over time
}

// Run runs one scenario. What it found is answered even where it did not come to its end.
func Run(ctx context.Context, cfg Config, p Params) (report.Section, error) {
	out := report.Section{Scenario: p.Scenario, Baseline: p.Baseline}
	if err := p.Complete(); err != nil {
		return out, err
	}
	out.About = About(p.Scenario)
	b := &bench{cfg: &cfg, p: &p, pids: cfg.PIDs, scrape: cfg.Metrics, client: &http.Client{Timeout: 5 * time.Second}, out: &out, began: time.Now()}
	defer b.client.CloseIdleConnections()
	err := b.run(ctx)
	if p.Scenario == "slow" {
		b.inSlowTable()
	}
	if err != nil {
		out.Failed = err.Error()
	}
	return out, err
}

func (b *bench) run(ctx context.Context) (err error) {
	if b.p.Scenario == "slow" { // it has no workers, and a network of its own
		return b.slow(ctx)
	}
	target := b.cfg.Target
	if b.cfg.Serve == nil && (b.p.Auth || b.p.TLS || b.p.Baseline || len(b.p.Server) > 0) {
		return errors.New("scenario: auth, tls, baseline and server need a server started by the test: use --serve")
	}
	if b.cfg.Serve != nil {
		s, err := machine.StartServer(ctx, b.p.server(*b.cfg.Serve))
		if err != nil {
			return err
		}
		defer func() {
			if text := s.Log(); text != "" {
				b.note("the server logged: %s", text)
			}
			err = errors.Join(err, s.Close())
		}()
		target.Devices, target.DevicesGRPC, target.Backends, target.BackendsGRPC = s.Devices, s.DevicesGRPC, s.Backends, s.BackendsGRPC
		target.Secret, target.Key, target.DevicesCA = s.Secret, s.Key, s.CA
		b.pids, b.scrape = []int{s.PID}, s.Backends+"/metrics"
		if b.p.Baseline {
			target.Bare, target.Backends, b.scrape = s.Backends, "", ""
		}
	}
	if b.workers, err = b.newWorkers(target); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.workers.Close()) }()
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { b.watch(watching) })
	watch.Go(func() { b.show(watching) })
	busy, stolen := stats.Busy()
	from := b.usage()
	err = b.play(ctx)
	b.others(busy, stolen, from)
	stop()
	watch.Wait()
	b.out.Server = b.watched
	return err
}

// others notes what else the machine had to do: figures are worse then than they should be.
func (b *bench) others(busy, stolen time.Duration, from *stats.Usage) {
	to := b.usage()
	if len(b.pids) == 0 || busy == 0 || from == nil || to == nil {
		return
	}
	took := time.Since(b.began).Seconds()
	used, kept := stats.Busy()
	b.out.Others = max(0, 100*(used-busy-(to.CPU-from.CPU)-b.self).Seconds()/took)
	b.out.Stolen = max(0, 100*(kept-stolen).Seconds()/took)
}

// play is the scenario itself.
func (b *bench) play(ctx context.Context) error {
	switch b.p.Scenario {
	case "idle":
		return b.idle(ctx)
	case "connect":
		return b.connect(ctx)
	case "push":
		return b.push(ctx)
	case "max":
		return b.max(ctx)
	case "replay":
		return b.replay(ctx)
	case "storm":
		return b.storm(ctx)
	case "churn", "soak":
		return b.churn(ctx)
	}
	return fmt.Errorf("scenario: %q is known, but not played", b.p.Scenario)
}

// newWorkers starts the workers.
func (b *bench) newWorkers(t workers.Target) (*workers.Pool, error) {
	p := b.p
	lanes, err := p.lanes()
	if err != nil {
		return nil, err
	}
	s := workers.Setup{
		Target: t, Run: "r" + strconv.FormatUint(uint64(rand.Uint32()), 36), Users: [2]uint32{0, uint32(p.users())}, Devices: p.Devices, Mix: p.Transport,
		Heartbeat: p.Heartbeat, Window: p.Window, AckAfter: p.AckAfter, Opening: p.Opening, Slack: p.Slack, Forget: p.Forget,
		Payload: p.Payload, Lanes: lanes, Streams: p.Publishers, Every: p.Every, TTL: p.TTL, Deflate: p.Deflate, Watched: b.cfg.Live != nil,
	}
	processes := p.Processes
	if processes == 0 {
		processes = (p.Streams + workers.PerProcess - 1) / workers.PerProcess
	}
	if b.cfg.Binary == "" {
		return workers.New(s, 1, nil)
	}
	return workers.New(s, processes, b.worker)
}

func (b *bench) worker() (*exec.Cmd, func() error, error) {
	cmd := exec.Command(b.cfg.Binary, "load", "worker")
	cmd.Env = append(os.Environ(), "GOGC=200")
	return cmd, func() error { return machine.Start(cmd, b.cfg.LoadOn) }, nil
}

// do gives an order, keeps what was violated, and tells of it.
func (b *bench) do(ctx context.Context, o workers.Order) (*workers.Outcome, error) {
	b.doing.order(&o)
	out, err := b.workers.Do(ctx, o)
	if err != nil {
		return nil, err
	}
	if out.Took > 0 {
		b.busy = 100 * (out.Self.CPU - b.self).Seconds() / out.Took.Seconds()
	}
	b.self = out.Self.CPU
	b.out.Violations = append(b.out.Violations, out.Violations...)
	for k, n := range out.Counts {
		if b.out.Counts == nil {
			b.out.Counts = out.Counts
			break
		}
		b.out.Counts[k] += n
	}
	return out, nil
}

// open gives every device a stream.
func (b *bench) open(ctx context.Context) (*workers.Outcome, error) {
	return b.openPart(ctx, b.p.Streams)
}

// openPart gives n of the devices a stream.
func (b *bench) openPart(ctx context.Context, n int) (*workers.Outcome, error) {
	out, err := b.do(ctx, workers.Order{Verb: workers.Connect, Rate: b.p.connects(), For: b.p.connectTime(), Part: float64(n) / float64(b.p.Streams)})
	if err == nil && out.Live < n {
		err = fmt.Errorf("scenario: open streams: %d of %d after %v; they ended as: %s", out.Live, n, out.Took.Round(time.Second), ends(out.Devices.Ends))
	}
	return out, err
}

// verify ends a scenario: everything has come, or it is reported as lost.
func (b *bench) verify(ctx context.Context) error {
	_, err := b.do(ctx, workers.Order{Verb: workers.Verify, Wait: b.p.Wait})
	return err
}

func (b *bench) note(format string, args ...any) {
	b.out.Notes = append(b.out.Notes, fmt.Sprintf(format, args...))
}

// ends lists why streams ended, the most frequent first.
func ends(m map[string]int64) string {
	if len(m) == 0 {
		return "nothing"
	}
	whys := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	parts := make([]string, len(whys))
	for i, why := range whys {
		parts[i] = fmt.Sprintf("%s ×%d", why, m[why])
	}
	return strings.Join(parts, ", ")
}
