package etcdserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ramen/internal/ports"
)

// patience bounds every wait. It says nothing about how long one should take.
const patience = time.Minute

// members are the configurations of an etcd of n.
func members(t *testing.T, n int) []Config {
	t.Helper()
	all := make([]Config, n)
	var names []string
	for i := range all {
		all[i] = Config{Name: fmt.Sprint("m", i), Dir: t.TempDir(), Client: ports.Free(t), Peer: ports.Free(t)}
		names = append(names, all[i].Name+"="+all[i].Peer)
	}
	for i := range all {
		all[i].Members = strings.Join(names, ",")
	}
	return all
}

// start starts an etcd of n, and a client that asks all of it.
func start(t *testing.T, n int) ([]*Server, *clientv3.Client) {
	t.Helper()
	var servers []*Server
	var clients []string
	for _, cfg := range members(t, n) {
		s, err := Start(cfg)
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
		clients = append(clients, cfg.Client)
	}
	for _, s := range servers {
		if err := s.AwaitReady(patience); err != nil {
			t.Fatal(err)
		}
	}
	return servers, open(t, clients...)
}

func open(t *testing.T, endpoints ...string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: endpoints, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestLeaderThatIsClosedHandsOver: its leadership goes to another member first, and clients that watch at it miss nothing and are not waited for.
func TestLeaderThatIsClosedHandsOver(t *testing.T) {
	servers, all := start(t, 3)
	lead := leader(t, servers)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	at := open(t, servers[lead].Client())
	at.SetEndpoints(append(at.Endpoints(), all.Endpoints()...)...)
	changes := at.Watch(clientv3.WithRequireLeader(ctx), "key", clientv3.WithCreatedNotify())
	if a := <-changes; !a.Created {
		t.Fatalf("not watching: %+v", a)
	}
	term := servers[lead].e.Server.Term()

	began := time.Now()
	servers[lead].Close()
	took, waits := time.Since(began), servers[lead].e.Server.Cfg.ReqTimeout()
	if took >= waits {
		t.Errorf("it took %v: it has waited for a client that watches, as etcd does for %v", took, waits)
	}
	rest := append(servers[:lead:lead], servers[lead+1:]...)
	defer rest[0].Close()
	defer rest[1].Close()
	if next := rest[leader(t, rest)].e.Server.Term(); next != term+1 {
		t.Errorf("the term has gone from %d to %d: the leadership was not handed over", term, next)
	}
	if _, err := all.Put(ctx, "key", "after"); err != nil {
		t.Fatal(err)
	}
	for a := range changes {
		if a.Err() != nil {
			t.Fatalf("the watch has ended: %v", a.Err())
		}
		if len(a.Events) > 0 && string(a.Events[0].Kv.Value) == "after" {
			return
		}
	}
	t.Fatal("the watch has ended without what was put")
}

// leader is the index of the leader, as soon as all of servers know it.
func leader(t *testing.T, servers []*Server) int {
	t.Helper()
	late := time.After(patience)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		for i, s := range servers {
			agreed := true
			for _, o := range servers {
				agreed = agreed && o.e.Server.Leader() == s.e.Server.MemberID()
			}
			if agreed {
				return i
			}
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("there is no leader")
		}
	}
}

// TestMemberWithoutMajorityIsClosed: it was never ready, and is closed all the same.
func TestMemberWithoutMajorityIsClosed(t *testing.T) {
	s, err := Start(members(t, 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		s.Close()
	}()
	select {
	case <-closed:
	case <-time.After(patience):
		t.Fatal("it is not closed")
	}
	if err, failed := <-s.Failed(); failed {
		t.Errorf("it was closed, and says %v", err)
	}
}

// TestRemovedMemberSaysSo: what ended it is not taken for a fault of its own.
func TestRemovedMemberSaysSo(t *testing.T) {
	servers, client := start(t, 3)
	for _, s := range servers {
		defer s.Close()
	}
	gone := servers[(leader(t, servers)+1)%3]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, err := client.MemberRemove(ctx, uint64(gone.e.Server.MemberID()))
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatal(err) // etcd wants the others to have been connected for 5 s
		}
	}
	select {
	case err := <-gone.Failed():
		if !errors.Is(err, ErrRemoved) {
			t.Errorf("it has ended because of %v", err)
		}
	case <-ctx.Done():
		t.Fatal("it does not say that it was removed")
	}
}

// TestHistoryThatTakesMuchIsDropped: long before etcd would do so by itself; what is there now stays.
func TestHistoryThatTakesMuchIsDropped(t *testing.T) {
	servers, client := start(t, 1)
	s := servers[0]
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const above = 4 << 20
	if got := s.compactOnce(above, 0); got != 0 {
		t.Fatalf("an empty one is compacted up to %d", got)
	}
	value := strings.Repeat("x", 100<<10)
	for range 2 * compactKeeps { // 20 MB
		if _, err := client.Put(ctx, "view", value); err != nil {
			t.Fatal(err)
		}
	}
	rev := s.compactOnce(above, 0)
	if rev == 0 {
		t.Fatalf("nothing is compacted, with %d bytes in use", s.e.Server.Backend().SizeInUse())
	}
	if again := s.compactOnce(above, rev); again != rev {
		t.Errorf("nothing was put, and it is compacted again up to %d", again)
	}
	if _, err := client.Get(ctx, "view", clientv3.WithRev(rev-1)); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("an old revision: %v", err)
	}
	a, err := client.Get(ctx, "view")
	if err != nil || len(a.Kvs) != 1 || a.Kvs[0].Version != 2*compactKeeps {
		t.Errorf("the newest: %v %v", a, err)
	}
}

// TestEtcdsLogIsTheProcesss: what ends the process is told as an error, with its cause, and what is of no use is not.
func TestEtcdsLogIsTheProcesss(t *testing.T) {
	var text bytes.Buffer
	l := zap.New(logCore{slog.New(slog.NewTextHandler(&text, nil)), new(atomic.Bool)}, zap.WithFatalHook(zapcore.WriteThenPanic)).With(zap.String("member", "m1"))
	l.Info("chatter")
	l.Warn("slow disk")
	l.Error("peer is gone", zap.Error(errors.New("refused")))
	func() {
		defer func() { _ = recover() }()
		l.Fatal("failed to save the log", zap.Error(errors.New("no space left on device")))
	}()
	want := []string{`level=WARN msg="etcd: peer is gone" member=m1 error=refused`, `level=ERROR msg="etcd: failed to save the log" member=m1 error="no space left on device"`}
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != len(want) {
		t.Fatalf("logged:\n%s", &text)
	}
	for i, w := range want {
		if !strings.HasSuffix(lines[i], w) {
			t.Errorf("%s\nwant %s", lines[i], w)
		}
	}
}
