package protocol

import (
	"math/rand/v2"
	"testing"
)

func TestReasonsAreThoseOfTheContract(t *testing.T) {
	for _, c := range []struct {
		r     Reason
		name  string
		close int
		final bool
	}{ // SPEC 5, 6
		{ReasonDrain, "drain", 1001, false},
		{ReasonRebalance, "rebalance", 1001, false},
		{ReasonSuperseded, "superseded", 4409, true},
		{ReasonUnauthenticated, "unauthenticated", 4401, true},
		{ReasonPermissionDenied, "permission_denied", 4403, true},
		{ReasonInvalidArgument, "invalid_argument", 4400, true},
		{ReasonResourceExhausted, "resource_exhausted", 4529, false},
		{ReasonAckTimeout, "ack_timeout", 4508, false},
		{ReasonTooSlow, "too_slow", 4513, false},
		{ReasonUnavailable, "unavailable", 1013, false},
		{ReasonDisconnected, "disconnected", 4404, true},
		{ReasonInternal, "internal", 1011, false},
		{ReasonProtocolError, "protocol_error", 1008, true},
		{ReasonTooBig, "too_big", 1009, true},
	} {
		if c.r.String() != c.name || c.r.CloseCode() != c.close || c.r.Final() != c.final {
			t.Errorf("%s: %q %d %v", c.name, c.r, c.r.CloseCode(), c.r.Final())
		}
	}
}

func TestEveryReasonHasItsOwnNameAndIsFoundByIt(t *testing.T) {
	all := Reasons()
	if len(all) != int(reasonCount)-1 {
		t.Fatalf("%d reasons are listed, there are %d", len(all), reasonCount-1)
	}
	seen := map[string]bool{}
	for _, r := range all {
		if r.String() == "" || seen[r.String()] {
			t.Errorf("reason %d is named %q", r, r)
		}
		seen[r.String()] = true
		if got, ok := ParseReason(r.String()); !ok || got != r {
			t.Errorf("%q is read as %q", r, got)
		}
	}
	for _, word := range []string{"", "Drain", "drain ", "none"} {
		if r, ok := ParseReason(word); ok || r != ReasonNone {
			t.Errorf("%q is read as %q", word, r)
		}
	}
}

func TestReasonOfANewerPeerIsInternal(t *testing.T) {
	for r := int(reasonCount); r <= 255; r++ {
		if got := Reason(r); got.String() != "internal" || got.CloseCode() != 1011 || got.Final() {
			t.Fatalf("%d is %q", r, got)
		}
	}
}

func TestEveryCodeHasItsStatusAndReason(t *testing.T) {
	for code, want := range map[Code]struct {
		status int
		reason Reason
	}{ // SPEC 4
		CodeInvalidArgument:   {400, ReasonInvalidArgument},
		CodeUnauthenticated:   {401, ReasonUnauthenticated},
		CodePermissionDenied:  {403, ReasonPermissionDenied},
		CodeNotFound:          {404, ReasonInvalidArgument},
		CodeTooLarge:          {413, ReasonInvalidArgument},
		CodeResourceExhausted: {429, ReasonResourceExhausted},
		CodeUnavailable:       {503, ReasonUnavailable},
		CodeInternal:          {500, ReasonInternal},
		"of a newer peer":     {500, ReasonInternal},
	} {
		if code.HTTPStatus() != want.status || ReasonOf(code) != want.reason {
			t.Errorf("%s: %d %q", code, code.HTTPStatus(), ReasonOf(code))
		}
	}
}

func TestPrioritiesAreLanesHighFirst(t *testing.T) {
	for i, name := range []string{"high", "medium", "low"} {
		p := LanePriority(i)
		if p.String() != name || p.Lane() != i {
			t.Errorf("lane %d is %q, of lane %d", i, p, p.Lane())
		}
		if got, ok := ParsePriority(name); !ok || got != p {
			t.Errorf("%q is read as %q", name, got)
		}
	}
	if p, ok := ParsePriority(""); !ok || p != PriorityUnspecified {
		t.Error("the empty name is not unspecified")
	}
	for _, bad := range []string{"High", "urgent", "unspecified"} {
		if _, ok := ParsePriority(bad); ok {
			t.Errorf("%q is a priority", bad)
		}
	}
	if Priority(4).String() != "" || Transport(9).String() != "" {
		t.Error("a number that is no name has one")
	}
}

func TestPositionsAreOrderedByEpochFirst(t *testing.T) {
	inOrder := []Position{{}, {0, 1}, {1, 0}, {1, 9}, {1, 1 << 63}, {2, 3}, {1 << 63, 0}, {1<<64 - 1, 1<<64 - 1}}
	for i, p := range inOrder {
		for j, q := range inOrder {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if p.Compare(q) != want || p.Less(q) != (want < 0) {
				t.Errorf("%v against %v: %d, less %v", p, q, p.Compare(q), p.Less(q))
			}
		}
		if p.IsZero() != (i == 0) {
			t.Errorf("%v is zero: %v", p, p.IsZero())
		}
	}
}

func TestMaxIsTheFurtherLaneByLane(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	draw := func() (p Positions) {
		for i := range p {
			p[i] = Position{Epoch(r.IntN(3)), r.Uint64N(3)}
		}
		return p
	}
	for range 500 {
		p, q := draw(), draw()
		m := p.Max(q)
		if m != q.Max(p) || m.Max(p) != m || p.Max(p) != p {
			t.Fatalf("seed %d: %v, %v: %v", seed, p, q, m)
		}
		for i := range m {
			if m[i].Less(p[i]) || m[i].Less(q[i]) || m[i] != p[i] && m[i] != q[i] {
				t.Fatalf("seed %d: %v, %v: %v", seed, p, q, m)
			}
		}
	}
}

func TestStreamsAreOrderedByEpochFirst(t *testing.T) {
	a, b, c := StreamNumber{1, 9}, StreamNumber{2, 1}, StreamNumber{2, 2}
	if !a.Less(b) || !b.Less(c) || b.Less(a) || c.Less(c) || !(StreamNumber{}).IsZero() || a.IsZero() {
		t.Fatal("streams are out of order")
	}
}
