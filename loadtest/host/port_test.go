package host

import (
	"net"
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
		if mark, err := net.ListenPacket("udp", addr); err == nil {
			mark.Close()
			t.Errorf("another process could reserve %s", addr)
		}
	}
}
