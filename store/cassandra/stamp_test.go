package cassandra

import (
	"testing"
	"time"

	"ramen/protocol"
)

// TestPresenceWhenTheClockIsSetBack: a process whose wall clock is an hour behind that of what it wrote last says that it has gone, and that
// it is there again; and another process reads both.
func TestPresenceWhenTheClockIsSetBack(t *testing.T) {
	p := place(t, "")
	s, other := openStore(t, p), openStore(t, p)
	defer s.Close()
	defer other.Close()
	if errs := s.Claim(t.Context(), []protocol.ShardID{1}, 1, "first"); errs != nil {
		t.Fatal(errs)
	}
	s.present.last.Store(time.Now().Add(time.Hour).UnixMicro())
	for _, there := range []bool{true, false, true} {
		ttl := time.Minute
		if !there {
			ttl = 0
		}
		if err := s.Renew(t.Context(), "first", ttl); err != nil {
			t.Fatal(err)
		}
		claims, errs := other.Claims(t.Context(), []protocol.ShardID{1})
		if errs != nil {
			t.Fatal(errs)
		}
		if claims[0].PresenceUnread || claims[0].Present != there {
			t.Errorf("it says that it is there: %v; the other reads %+v", there, claims[0])
		}
	}
}
