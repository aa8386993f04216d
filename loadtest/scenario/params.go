package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"ramen/loadtest/devices"
	"ramen/loadtest/slow"
)

// Params is what a scenario is asked for. What is zero is the scenario's own default.
type Params struct {
	Scenario   string        `yaml:"scenario"`  // idle, connect, push, max, replay, storm, churn, soak, slow
	Streams    int           `yaml:"streams"`   // of all devices together
	Devices    int           `yaml:"devices"`   // a user
	Transport  string        `yaml:"transport"` // ws, ws-json, sse, grpc, poll, or a mix: ws=5,sse=3
	Rate       float64       `yaml:"rate"`      // messages a second
	Connects   float64       `yaml:"connects"`  // openings a second; below 0: as fast as it goes
	For        time.Duration `yaml:"for"`       // of what is measured
	Warm       time.Duration `yaml:"warm"`      // before it
	Wait       time.Duration `yaml:"wait"`      // the most for what has to come afterwards
	Messages   int           `yaml:"messages"`  // replay: a device
	P99        time.Duration `yaml:"p99"`       // max: what must be held
	Payload    int           `yaml:"payload"`   // bytes
	Lanes      string        `yaml:"lanes"`     // weights of high/medium/low, as in 1/8/1
	Heartbeat  time.Duration `yaml:"heartbeat"` // asked for
	AckAfter   time.Duration `yaml:"ack_after"` // acks joined within this time
	Window     int           `yaml:"window"`
	Publishers int           `yaml:"publishers"` // publish streams a process
	Every      time.Duration `yaml:"every"`      // what is due is sent together so often
	TTL        time.Duration `yaml:"ttl"`        // of messages
	Processes  int           `yaml:"processes"`  // of the load; 0: as many as the streams need
	Opening    int           `yaml:"opening"`    // most openings under way
	Slack      time.Duration `yaml:"slack"`      // beyond 1.25 intervals until a silence counts
	Life       time.Duration `yaml:"life"`       // churn: mean of a stream's life
	Away       time.Duration `yaml:"away"`       // churn: mean of the pause
	HalfOpen   float64       `yaml:"half_open"`  // churn: share of streams that die without a word
	Change     float64       `yaml:"change"`     // churn: share of returns over another transport
	Forget     float64       `yaml:"forget"`     // churn: share of returns without a cursor
	Auth       bool          `yaml:"auth"`       // with a server of our own: devices show tokens, backends a key
	TLS        bool          `yaml:"tls"`        // likewise: devices' ports speak it
	Deflate    bool          `yaml:"deflate"`    // WebSocket devices offer permessage-deflate, and a server of our own agrees
	Baseline   bool          `yaml:"baseline"`   // against the baseline server, not RAMEN
	Floor      bool          `yaml:"floor"`      // the former name of Baseline in files
	Optional   bool          `yaml:"optional"`   // of a run: where it cannot be done, that is no failure
	Server     []string      `yaml:"server"`     // more flags of a server of our own
	Link       slow.Config   `yaml:"link"`       // slow: how slow
	Pending    int           `yaml:"pending"`    // slow: bytes of low messages that always wait
}

// defaults are what each scenario is without a word: BUDGET.md's rows, where it has one.
var defaults = map[string]Params{
	"idle":    {Streams: 15000, Connects: 2000, For: 30 * time.Second, Warm: 4 * time.Second},
	"connect": {Streams: 15000, Connects: 3000, For: 10 * time.Second},
	"push":    {Streams: 5000, Connects: 2000, Rate: 20000, For: 15 * time.Second, Warm: 3 * time.Second},
	"max":     {Streams: 5000, Connects: 2000, Rate: 20000, For: 5 * time.Second, Warm: 3 * time.Second, P99: 200 * time.Millisecond},
	"replay":  {Streams: 2000, Connects: 2000, Messages: 20},
	"storm":   {Streams: 15000, Connects: 3000, For: 3 * time.Second},
	"churn": {Streams: 2000, Connects: 1000, Rate: 2000, For: time.Minute, Transport: "ws=4,sse=3,ws-json=2,poll=1", Life: 15 * time.Second, Away: 3 * time.Second,
		HalfOpen: 0.2, Change: 0.3, Forget: 0.1, Devices: 2, Lanes: "1/8/1"},
	"soak": {Streams: 2000, Connects: 1000, Rate: 1000, For: time.Hour, Warm: 30 * time.Second, Transport: "ws=4,sse=3,ws-json=2,grpc=1", Life: 2 * time.Minute,
		Away: 5 * time.Second, HalfOpen: 0.1, Change: 0.2, Forget: 0.05, Devices: 2, Lanes: "1/8/1"},
	"slow": {Streams: 1, Rate: 1.43, For: 30 * time.Second, Warm: 3 * time.Second, Payload: 16 << 10},
}

// Names are the scenarios, in the order in which one would try them.
func Names() []string {
	return []string{"idle", "connect", "push", "max", "replay", "storm", "churn", "soak", "slow"}
}

// About is what a scenario does, in a line.
func About(name string) string {
	return map[string]string{
		"idle":    "hold streams: the server's memory and CPU a stream and a heartbeat, gaps between heartbeats",
		"connect": "open streams: the server's CPU a connect, at a rate and as fast as it goes",
		"push":    "publish at a rate: CPU a message, latency from when a message was due",
		"max":     "search the most messages a second within a p99",
		"replay":  "publish to users that are offline, and let them come back: CPU a message",
		"storm":   "cut all streams at once, and let them come back at once",
		"churn":   "devices that come and go as phones do, under load: nothing may be lost",
		"slow":    "a high message behind low ones on a slow link, which is made for it (Linux, root)",
		"soak":    "churn and load for long: drift of memory, descriptors, goroutines",
	}[name]
}

// Complete fills in the scenario's defaults.
func (p *Params) Complete() error {
	d, ok := defaults[p.Scenario]
	if !ok {
		return fmt.Errorf("scenario: there is no %q: use %s", p.Scenario, strings.Join(Names(), ", "))
	}
	p.Streams, p.Devices = cmp.Or(p.Streams, d.Streams), cmp.Or(p.Devices, d.Devices, 1)
	p.Transport = cmp.Or(p.Transport, d.Transport, "ws")
	p.Rate, p.Connects = cmp.Or(p.Rate, d.Rate), cmp.Or(p.Connects, d.Connects)
	p.For, p.Warm, p.Wait = cmp.Or(p.For, d.For), cmp.Or(p.Warm, d.Warm), cmp.Or(p.Wait, time.Minute)
	p.Messages, p.P99 = cmp.Or(p.Messages, d.Messages), cmp.Or(p.P99, d.P99)
	p.Payload, p.Lanes = cmp.Or(p.Payload, d.Payload, 256), cmp.Or(p.Lanes, d.Lanes, "0/1/0")
	p.Life, p.Away = cmp.Or(p.Life, d.Life), cmp.Or(p.Away, d.Away)
	p.HalfOpen, p.Change, p.Forget = cmp.Or(p.HalfOpen, d.HalfOpen), cmp.Or(p.Change, d.Change), cmp.Or(p.Forget, d.Forget)
	if p.Scenario == "slow" {
		if err := p.completeSlow(); err != nil {
			return err
		}
	}
	return p.validate()
}

func (p *Params) validate() error {
	if err := p.validateServer(); err != nil {
		return err
	}
	if _, err := devices.ParseMix(p.Transport); err != nil {
		return fmt.Errorf("scenario: check %s: %w", p.Scenario, err)
	}
	if _, err := p.lanes(); err != nil {
		return fmt.Errorf("scenario: check %s: %w", p.Scenario, err)
	}
	switch {
	case p.Streams < 1 || p.Devices < 1 || p.Devices > 64 || p.Streams%p.Devices != 0:
		return fmt.Errorf("scenario: check %s: %d streams with %d devices a user: use a multiple of 1 to 64 devices", p.Scenario, p.Streams, p.Devices)
	case p.Rate < 0:
		return fmt.Errorf("scenario: check %s: rate is %v: use a number over 0", p.Scenario, p.Rate)
	case p.Heartbeat != 0 && (p.Heartbeat < time.Second || p.Heartbeat > time.Minute):
		return fmt.Errorf("scenario: check %s: heartbeat is %v: use 1s to 60s", p.Scenario, p.Heartbeat)
	case p.HalfOpen < 0 || p.HalfOpen > 1 || p.Change < 0 || p.Change > 1 || p.Forget < 0 || p.Forget > 1:
		return fmt.Errorf("scenario: check %s: half_open, change and forget are shares: use 0 to 1", p.Scenario)
	case p.For <= 0 || p.For > 7*24*time.Hour:
		if p.Scenario != "replay" {
			return fmt.Errorf("scenario: check %s: for is %v: use a time up to a week", p.Scenario, p.For)
		}
	}
	return nil
}

var errLanes = errors.New("lanes are weights of high/medium/low: use a form such as 1/8/1")

func (p *Params) lanes() (weights [3]int, err error) {
	parts := strings.Split(p.Lanes, "/")
	if len(parts) != 3 {
		return weights, errLanes
	}
	total := 0
	for i, part := range parts {
		if weights[i], err = strconv.Atoi(part); err != nil || weights[i] < 0 || weights[i] > 1000 {
			return weights, errLanes
		}
		total += weights[i]
	}
	if total == 0 {
		return weights, errLanes
	}
	return weights, nil
}

// users is how many there are.
func (p *Params) users() int { return p.Streams / p.Devices }

// connects is the rate of openings; 0: as fast as it goes.
func (p *Params) connects() float64 { return max(p.Connects, 0) }

// connectTime bounds the opening of all streams, and what waits for their devices.
func (p *Params) connectTime() time.Duration {
	if p.connects() == 0 {
		return p.Wait
	}
	return time.Duration(float64(p.Streams)/p.connects()*float64(time.Second)) + p.Wait
}
