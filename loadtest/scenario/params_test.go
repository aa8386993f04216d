package scenario

import (
	"context"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/loadtest/slow"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEveryScenarioHasDefaultsThatAreGood(t *testing.T) {
	for _, name := range Names() {
		p := Params{Scenario: name}
		if err := p.Complete(); err != nil || p.Streams == 0 || About(name) == "" {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	if len(defaults) != len(Names()) {
		t.Errorf("%d defaults of %d scenarios", len(defaults), len(Names()))
	}
}

func TestBadParametersAreNamed(t *testing.T) {
	for want, p := range map[string]Params{
		"idle, connect":  {Scenario: "idel"},
		"mqtt":           {Scenario: "idle", Transport: "mqtt"},
		"1/8/1":          {Scenario: "idle", Lanes: "0/0/0"},
		"multiple":       {Scenario: "idle", Streams: 5, Devices: 2},
		"1s to 60s":      {Scenario: "idle", Heartbeat: time.Millisecond},
		"0 to 1":         {Scenario: "churn", Forget: 1.5},
		"rate":           {Scenario: "push", Rate: -1},
		"ws, ws-json":    {Scenario: "slow", Transport: "ws=1,sse=1"},
		"use 1":          {Scenario: "slow", Streams: 2},
		"half a mailbox": {Scenario: "slow", Payload: 16, Pending: 1 << 20},
		"two packets":    {Scenario: "slow", Link: slow.Config{QueueBytes: 100}},
		"--serve":        {Scenario: "slow"},
	} {
		_, err := Run(context.Background(), Config{}, p)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; it does not say %q", p, err, want)
		}
	}
}

func TestEndsAreListedByFrequency(t *testing.T) {
	if got := ends(map[string]int64{"a": 1, "c": 5, "b": 5}); got != "b ×5, c ×5, a ×1" {
		t.Error(got)
	}
}
