package scenario

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"ramen/clients/go/wire"
	"ramen/loadtest/expect"
	"ramen/loadtest/machine"
	"ramen/loadtest/publisher"
	"ramen/loadtest/slow"
	"ramen/loadtest/stats"
	"ramen/loadtest/workers"
)

// slowBench is a server behind a slow link, one device in front of it, and what was measured of both.
type slowBench struct {
	*bench
	link     *slow.Link
	server   *machine.Server
	http     *http.Client // in the server's namespace
	expected *expect.Expectations
	user     string
	tls      *tls.Config   // of the devices' ports; nil: cleartext
	done     chan struct{} // closed to stop the low messages

	mu       sync.Mutex
	sent     expect.Lanes
	due      map[uint32]time.Time // of high messages by number
	device   expect.Device
	lows     int // that came
	measured bool
	high     stats.Hist
	gap      stats.Hist
	wire     int64 // bytes that the device read
	heard    time.Time
	held     stats.Hist // bytes in the server's kernel, as µs
	ends     map[string]int64
	refused  map[string]int64
	more     chan struct{} // of capacity 1: a low message came
}

// slow measures how fast high messages overtake low ones on a slow link.
func (b *bench) slow(ctx context.Context) (err error) {
	if b.cfg.Serve == nil {
		return errors.New("scenario: slow starts its own server in a network of its own: use --serve")
	}
	if b.cfg.Serve.Auth {
		return errors.New("scenario: slow measures without tokens and keys: leave out --auth")
	}
	link, err := slow.Open(b.p.Link)
	if err != nil {
		return fmt.Errorf("scenario: slow: %w", err)
	}
	defer func() { err = errors.Join(err, link.Close()) }()
	cfg := *b.cfg.Serve
	near := net.JoinHostPort(slow.NearAddr.String(), "0")
	cfg.Args = append([]string{"--listen.devices", near, "--listen.devices-grpc", near}, cfg.Args...)
	cfg.Addresses = []netip.Addr{slow.NearAddr}
	cfg.Enter, cfg.Dial = link.Near.Enter, link.Near.Dial
	server, err := machine.StartServer(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() {
		if text := server.Log(); text != "" {
			b.note("the server logged: %s", text)
		}
		err = errors.Join(err, server.Close())
	}()
	b.pids = []int{server.PID}
	s := &slowBench{
		bench: b, link: link, server: server, http: &http.Client{Transport: &http.Transport{DialContext: link.Near.Dial}},
		expected: expect.New("r" + strconv.FormatUint(uint64(rand.Uint32()), 36)), done: make(chan struct{}),
		due: map[uint32]time.Time{}, ends: map[string]int64{}, refused: map[string]int64{}, more: make(chan struct{}, 1),
	}
	if s.tls, err = new(workers.Target).TLSConfig(server.CA); err != nil {
		return err
	}
	s.user = expect.UserName(s.expected.Run, 0)
	defer s.http.CloseIdleConnections()
	return s.run(ctx)
}

// run runs the scenario. Its goroutines have ended when it returns.
func (s *slowBench) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	opened := make(chan struct{})
	work.Go(func() { s.receive(ctx, opened) })
	if err := s.await(ctx, "a stream", s.p.Wait, func() bool { return isClosed(opened) }); err != nil {
		return err
	}
	work.Go(func() { s.keepPending(ctx) })
	if err := s.await(ctx, "low messages that flow", s.p.Wait, func() bool { return s.came() > 3*s.p.Payload }); err != nil {
		return err
	}
	if err := publisher.Pause(ctx, s.p.Warm); err != nil {
		return err
	}
	work.Go(func() { s.watchKernel(ctx) })
	if err := s.measure(ctx); err != nil {
		return err
	}
	close(s.done)
	drain := 3*time.Duration(s.p.Pending)*8*time.Millisecond/time.Duration(s.p.Link.RateKbit) + s.p.Wait
	if err := s.await(ctx, "everything", drain, func() bool { return s.missing() == 0 }); err != nil && ctx.Err() != nil {
		return err
	}
	s.reportMissing()
	return nil
}

// measure publishes high messages over and over, and makes the rows.
func (s *slowBench) measure(ctx context.Context) error {
	before, _ := s.link.Stats()
	s.mu.Lock()
	s.measured = true
	bytes, began := s.wire, time.Now()
	s.mu.Unlock()
	from := s.usage()
	if err := s.publishHighs(ctx, began.Add(s.p.For)); err != nil {
		return err
	}
	to := s.usage()
	s.mu.Lock()
	bytes, took := s.wire-bytes, time.Since(began)
	silent := time.Since(s.heard)
	s.mu.Unlock()
	after, _ := s.link.Stats()
	// A high message in flight at the end counts, too.
	if err := s.await(ctx, "the last high messages", s.p.Wait, func() bool { return s.highsMissing() == 0 }); err != nil && ctx.Err() != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.measured = false
	s.gap.Record(silent.Microseconds())
	s.rows(bytes, took, share(from, to), before, after)
	return nil
}

// reportMissing names what has not come.
func (s *slowBench) reportMissing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.device.ReportMissing(s.expected, &s.sent)
	s.out.Violations, s.out.Counts = s.expected.Take()
	if len(s.ends) > 0 {
		s.note("streams ended unexpectedly: %s", ends(s.ends))
	}
	if len(s.refused) > 0 {
		s.note("publishes were refused: %s", ends(s.refused))
	}
}

func (s *slowBench) missing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.device.Missing(s.expected, &s.sent)
}

func (s *slowBench) highsMissing() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.due)
}

// came is how many bytes of low payloads have come.
func (s *slowBench) came() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lows * s.p.Payload
}

const (
	slowLook = 20 * time.Millisecond  // how often await checks
	heldLook = 100 * time.Millisecond // how often the kernel's queue is read
)

// await waits until something holds.
func (s *slowBench) await(ctx context.Context, what string, most time.Duration, holds func() bool) error {
	s.doing.set(what)
	look := time.NewTicker(slowLook)
	defer look.Stop()
	for end := time.Now().Add(most); !holds(); {
		if time.Now().After(end) {
			return fmt.Errorf("scenario: slow: waited %v for %s; %s", most, what, s.troubles())
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (s *slowBench) troubles() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return fmt.Sprintf("streams ended as: %s; publishes were refused: %s", ends(s.ends), ends(s.refused))
}

// watchKernel samples how much the server's kernel holds for the device.
func (s *slowBench) watchKernel(ctx context.Context) {
	at := strings.TrimPrefix(s.server.Devices, "http://")
	if s.p.Transport == string(wire.GRPC) {
		at = s.server.DevicesGRPC
	}
	port, err := netip.ParseAddrPort(at)
	if err != nil {
		return
	}
	look := time.NewTicker(heldLook)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		case <-s.done:
			return
		}
		if n, err := s.link.Near.Unacked(port.Port()); err == nil {
			s.mu.Lock()
			s.held.Record(int64(n))
			s.mu.Unlock()
		}
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
