package controller

import (
	"context"
	"net"
	"syscall"
	"testing"
	"time"

	"ramen/topology"
	"ramen/topology/registry"
)

// TestGoneIsWhoListensNoMore: a gateway whose listener and connections have ended is found, and only that one; not one that accepts nothing, and
// not one whose connections end while it listens.
func TestGoneIsWhoListensNoMore(t *testing.T) {
	ended := make(chan topology.MemberID, 10)
	w := newWatchman(t.Context(), func(g registry.Gateway) { ended <- g.ID })
	defer w.close()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	dies, stopped, cuts := listen(), listen(), listen()
	taken := make(chan net.Conn, 100)
	go func() {
		for c, err := dies.Accept(); err == nil; c, err = dies.Accept() {
			taken <- c
		}
	}()
	cut := make(chan struct{}, 100)
	go func() {
		for c, err := cuts.Accept(); err == nil; c, err = cuts.Accept() {
			c.Close()
			cut <- struct{}{}
		}
	}()
	gateways := make(map[topology.MemberID]registry.Gateway)
	for id, l := range map[topology.MemberID]net.Listener{"dies": dies, "stopped": stopped, "cuts": cuts} {
		gateways[id] = registry.Gateway{Member: topology.Member{ID: id, Address: l.Addr().String()}}
	}
	w.watch(gateways)
	c := receive(t, taken)
	for range 4 {
		receive(t, cut)
	}
	dies.Close()
	c.Close()
	if id := receive(t, ended); id != "dies" {
		t.Fatalf("%s was taken for gone", id)
	}
	receive(t, cut)
	select {
	case id := <-ended:
		t.Fatalf("%s was taken for gone", id)
	default:
	}
}

// TestNobodyIsGoneWhoWasNeverReached: an address that refuses from the first says nothing of a gateway that has registered: it may be a loopback
// address of another machine.
func TestNobodyIsGoneWhoWasNeverReached(t *testing.T) {
	ended, asked := make(chan topology.MemberID, 10), make(chan string, 100)
	w := newWatchman(t.Context(), func(g registry.Gateway) { ended <- g.ID })
	defer w.close()
	w.dial = func(_ context.Context, address string) (net.Conn, error) {
		asked <- address
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	w.watch(map[topology.MemberID]registry.Gateway{"a": {Member: topology.Member{ID: "a", Address: "127.0.0.1:7080"}}})
	for range 4 { // more than it takes to believe a refusal
		receive(t, asked)
	}
	select {
	case id := <-ended:
		t.Fatalf("%s was taken for gone", id)
	default:
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	select {
	case x := <-from:
		return x
	case <-ctx.Done():
		t.Fatal("waited 20s")
		panic("unreachable")
	}
}
