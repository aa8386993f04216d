package ports

import (
	"fmt"
	"net"
	"strconv"
	"testing"
)

// TestReserveGivesEachAddressOnce until it is released, and leaves its TCP port free.
func TestReserveGivesEachAddressOnce(t *testing.T) {
	given := make(map[string]bool)
	for range 100 {
		addr, release, err := Reserve()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := release(); err != nil {
				t.Error(err)
			}
		})
		if given[addr] {
			t.Errorf("%s was given twice", addr)
		}
		given[addr] = true
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		_, port, _ := net.SplitHostPort(addr)
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		if mark, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", n+markAbove)); err == nil {
			mark.Close()
			t.Errorf("another process could reserve %s", addr)
		}
	}
}
