package redis

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"ramen/internal/testserver"
	"ramen/internal/testserver/redistest"
)

// TestMasterThatIsCutOffFromItsReplica goes on taking writes for as long as min-replicas-max-lag says, while the replica is promoted elsewhere.
// What it took alone the promoted one does not have: its owner finds that out, and writes it again.
func TestMasterThatIsCutOffFromItsReplica(t *testing.T) {
	r := redistest.WithReplicas(t, redistest.Options{Config: redistest.Config{"min-replicas-to-write": "1", "min-replicas-max-lag": "2"}}, 1)
	replica := r.Replicas[0]
	between := startProxy(t, r.Master.Addr)
	host, port, err := net.SplitHostPort(between.addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := replica.Client(t).Do(t.Context(), "replicaof", host, port).Err(); err != nil {
		t.Fatal(err)
	}
	front := startProxy(t, r.Master.Addr)
	cfg := configOf(t, r.Master)
	cfg.Addrs = []string{front.addr()}
	awaitSo(t, "the replica follows", func() error {
		text, err := r.Master.Client(t).Info(t.Context(), "replication").Result()
		if in := parseInfo(text); err == nil && in["min_slaves_good_slaves"] != "1" {
			err = fmt.Errorf("good replicas: %s", in["min_slaves_good_slaves"])
		}
		return err
	})
	s := open(t, cfg)
	claim(t, s, 1, "first", 1)
	p := newPublisher(s, 1, "u")
	p.settle(t)
	awaitOffset(t, r.Master, replica)
	between.hold(t)
	began, alone := time.Now(), 0
	for {
		err := p.publish(t.Context(), time.Second)
		if err == nil {
			alone++
			continue
		}
		if !strings.Contains(err.Error(), "NOREPLICAS") {
			t.Fatalf("after %d: %v", alone, err)
		}
		break
	}
	if took := time.Since(began); alone == 0 || took > testserver.Patience {
		t.Errorf("the master took %d writes alone, for %v", alone, took)
	}
	promote(t, replica)
	if err := replica.Client(t).ConfigSet(t.Context(), "min-replicas-to-write", "0").Err(); err != nil {
		t.Fatal(err)
	}
	front.turn(replica.Addr)
	m, err := s.Load(within(t), at1, "u")
	if err != nil || len(m.Entries) != 1 {
		t.Fatalf("the promoted replica has %d entries of %d: %v", len(m.Entries), 1+alone, err)
	}
	wantLast(t, p.publish(t.Context(), time.Second), m.Last)
	p.settle(t)
	p.check(t, s, at1)
	if p.replaced != 1 {
		t.Errorf("given back %d times", p.replaced)
	}
	t.Logf("the master took %d writes alone", alone)
}
