package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"ramen/loadtest/machine"
	"ramen/loadtest/stats"
)

// config is how attacks are tried.
type config struct {
	Binary string        // ramen
	Dir    string        // where servers' data goes, in new folders
	For    time.Duration // of each flood
	Short  bool          // small attacks
	Self   []string      // this program, to be the attacker
}

// smallLimit is what a server may use that is attacked by publishers with a key: whatever they publish is accepted and kept, up to the
// limits that follow from it.
const smallLimit = "256MiB"

// try starts a server and its canaries, has it attacked, and tells what came of it.
func try(ctx context.Context, c config, a attack) *row {
	r := &row{Attack: a}
	var env []string
	if a.small {
		env = append(env, "GOMEMLIMIT="+smallLimit)
	}
	s, err := machine.StartServer(ctx, machine.ServerConfig{Binary: c.Binary, Dir: c.Dir, Auth: true, TLS: a.tls, Args: a.flags, Env: env})
	if err != nil {
		r.Err = err
		return r
	}
	defer func() { r.Err = errors.Join(r.Err, s.Kill()) }()
	t, err := newTarget(s)
	if err != nil {
		r.Err = err
		return r
	}
	t.Short = c.Short
	canaries, err := newChoir(ctx, t)
	if err != nil {
		r.Err = err
		return r
	}
	defer canaries.close()
	if a.prepare != nil {
		if r.Err = a.prepare(ctx, t); r.Err != nil {
			return r
		}
	}
	r.flood(ctx, c, s, t, canaries)
	return r
}

// newTarget is s as attackers know it.
func newTarget(s *machine.Server) (*target, error) {
	t := &target{DevicesGRPC: s.DevicesGRPC, BackendsGRPC: s.BackendsGRPC, Secret: []byte(s.Secret), Key: s.Key, CA: s.CA}
	for at, text := range map[*string]string{&t.Devices: s.Devices, &t.Backends: s.Backends} {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("attack: find the server: %w", err)
		}
		*at = u.Host
	}
	return t, nil
}

// flood has another process attack, and measures meanwhile.
func (r *row) flood(ctx context.Context, c config, s *machine.Server, t *target, canaries *choir) {
	if err := forgetPeak(s.PID); err != nil {
		r.Err = fmt.Errorf("attack: measure the server's memory: %w", err)
		return
	}
	canaries.measure()
	others := countOthers(s.PID)
	var attacker time.Duration
	r.Did, attacker, r.Err = runAttacker(ctx, c, r.Attack, t)
	r.Others = others(attacker)
	r.Memory = peak(s.PID)
	for _, stream := range canaries.streams {
		silence, ends, last := stream.measured()
		if silence > r.Silence {
			r.Silence, r.Silent = silence, fmt.Sprintf("%s, %d ends, the last: %s", stream.transport, ends, last)
		}
	}
	var took stats.Hist
	for _, v := range canaries.voices {
		refused, last := v.measured(&took)
		if r.Refused += refused; last != "" {
			r.Why = last
		}
	}
	r.P99 = took.At(99)
	select {
	case <-s.Gone():
		r.Dead = "the server: " + s.Log()
		return
	default:
	}
	r.Dead = canaries.alive(ctx)
	r.Memory = max(r.Memory, peak(s.PID))
}

// countOthers begins to count what processes that have nothing to do with the attack take of the machine; the function that it
// returns says how many processors that was, given what the attacker took.
func countOthers(pid int) func(attacker time.Duration) float64 {
	used := func() time.Duration {
		busy, stolen := stats.Busy()
		server, _ := stats.OfProcess(pid)
		self, _ := stats.OfProcess(os.Getpid())
		return busy + stolen - server.CPU - self.CPU
	}
	began, before := time.Now(), used()
	return func(attacker time.Duration) float64 {
		return max(0, (used()-before-attacker).Seconds()/time.Since(began).Seconds())
	}
}
