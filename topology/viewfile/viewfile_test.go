package viewfile

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/topologytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const good = `
gateways:
  g1: {address: "g1.example:7080", zone: east}
  g2: {address: "10.0.0.2:7080", zone: west, weight: 2}
  g3: {address: "10.0.0.3:7080", zone: west, weight: 0}
shards:
  0-3,7: g1
  9: g2
`

// TestFileSaysWhoIsToHaveWhat: by hand where it says so, and by weight otherwise.
func TestFileSaysWhoIsToHaveWhat(t *testing.T) {
	f, err := Parse([]byte(good), 96)
	if err != nil {
		t.Fatal(err)
	}
	if m := f.Members["g1"]; m.Address != "g1.example:7080" || m.Zone != "east" || m.Weight != 1 || f.Members["g2"].Weight != 2 {
		t.Errorf("%+v", f.Members)
	}
	n := make(map[string]int)
	for _, o := range f.Owners {
		n[o]++
	}
	if n["g1"] != 32 || n["g2"] != 64 || len(n) != 2 {
		t.Errorf("shares are %v", n)
	}
	for i, want := range map[int]string{0: "g1", 1: "g1", 2: "g1", 3: "g1", 7: "g1", 9: "g2"} {
		if f.Owners[i] != want {
			t.Errorf("shard %d is to be at %s", i, f.Owners[i])
		}
	}
	again, err := Parse([]byte(good), 96)
	if err != nil || fmt.Sprint(again.Owners) != fmt.Sprint(f.Owners) {
		t.Error("two that read the same file do not agree", err)
	}
}

// TestFileThatGrowsMovesLittle: of nothing but the file follows who has what, so more moves than with controllers; but not much.
func TestFileThatGrowsMovesLittle(t *testing.T) {
	const shards = 1024
	file := func(n int) []string {
		var b strings.Builder
		b.WriteString("gateways:\n")
		for i := range n {
			fmt.Fprintf(&b, "  g%d: {address: \"h:%d\"}\n", i, 1+i)
		}
		f, err := Parse([]byte(b.String()), shards)
		if err != nil {
			t.Fatal(err)
		}
		return f.Owners
	}
	for n := 2; n < 12; n++ {
		before, after, moved := file(n), file(n+1), 0
		for i := range before {
			if before[i] != after[i] {
				moved++
			}
		}
		if least := shards / (n + 1); moved > 2*least+shards/50 {
			t.Errorf("from %d gateways to %d move %d shards; %d would be enough", n, n+1, moved, least)
		}
	}
}

func TestFileThatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"":             "none may own anything",
		"gateways: {}": "none may own anything",
		"gateways: {g1: {address: 'a:1', weight: 0}}":                                        "none may own anything",
		"gateways: {g1: {}}":                                                                 "address is \"\"",
		"gateways: {g1: {address: 'a'}}":                                                     "address is \"a\"",
		"gateways: {g1: {address: ':1'}}":                                                    "address is \":1\"",
		"gateways: {'g@1': {address: 'a:1'}}":                                                "without spaces",
		"gateways: {g1: {address: 'a:1', weight: -1}}":                                       "weight is -1",
		"gateways: {g1: {address: 'a:1', weight: .nan}}":                                     "weight is NaN",
		"gateways: {g1: {adress: 'a:1'}}":                                                    "adress",
		"members: {}":                                                                        "members",
		"gateways: [":                                                                        "viewfile",
		"gateways: {g1: {address: 'a:1'}}\nshards: {0-3: g2}":                                "not a gateway",
		"gateways: {g1: {address: 'a:1'}}\nshards: {0-16: g1}":                               "from 0 to 15",
		"gateways: {g1: {address: 'a:1'}}\nshards: {3-1: g1}":                                "from 0 to 15",
		"gateways: {g1: {address: 'a:1'}}\nshards: {'-1': g1}":                               "from 0 to 15",
		"gateways: {g1: {address: 'a:1'}}\nshards: {x: g1}":                                  "from 0 to 15",
		"gateways: {g1: {address: 'a:1'}, g2: {address: 'b:1'}}\nshards: {0-3: g1, 2-5: g2}": "shard 2 is given to g1 and to g2",
	} {
		if _, err := Parse([]byte(text), 16); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestFollowerKeepsTheLastGoodFile, and says what is wrong with a newer one until that is mended.
func TestFollowerKeepsTheLastGoodFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "view.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	if _, err := Follow(path, 16, l); err == nil {
		t.Fatal("a file that is not there")
	}
	write("gateways: {g1: {address: 'a:1'}}")
	f, err := Follow(path, 16, l)
	if err != nil {
		t.Fatal(err)
	}
	first, changed := f.Now()
	write("gateways: {g1: {address: 'a:1'}, g2: {address: 'b:1'}}")
	select {
	case <-changed:
	case <-time.After(topologytest.Patience):
		t.Fatal("the change is not seen")
	}
	second, changed := f.Now()
	if len(first.Members) != 1 || len(second.Members) != 2 {
		t.Errorf("%v %v", first, second)
	}
	write("gateways: [")
	for range 2 { // it stays wrong
		if f.Reload() == nil || f.Err() == nil {
			t.Error("a file that is wrong is in force")
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if f.Reload() == nil {
		t.Error("a file that is gone is in force")
	}
	if now, _ := f.Now(); now != second {
		t.Error("the last good file is not in force")
	}
	select {
	case <-changed:
		t.Error("a file that is wrong is told as a change")
	default:
	}
	write("gateways: {g3: {address: 'c:1'}}")
	if err := f.Reload(); err != nil || f.Err() != nil {
		t.Error(err)
	}
	f.Close()
	if n := strings.Count(log.String(), "level=ERROR"); n < 1 || n > 4 {
		t.Errorf("what is wrong is told %d times:\n%s", n, &log)
	}
}

func claims(owner topology.MemberID, epoch protocol.Epoch, n int) []Claim {
	all := make([]Claim, n)
	for i := range all {
		all[i] = Claim{Owner: owner, Epoch: epoch, Present: true}
	}
	return all
}

func TestConformance(t *testing.T) {
	topologytest.Run(t, func(t *testing.T) topologytest.Subject {
		v := NewViews(16)
		f, err := Parse([]byte(good), 16)
		if err != nil {
			t.Fatal(err)
		}
		v.SetFile(f)
		epoch := protocol.Epoch(0)
		return topologytest.Subject{Topology: v, Change: func() {
			epoch++
			v.SetClaims(claims(topology.MemberID(fmt.Sprintf("g%d@x", 1+epoch%3)), epoch, 16))
		}}
	})
}

// TestViewsFollowClaimsAndNotFiles: who has a claim owns the shard, whatever the file says of who is to have it.
func TestViewsFollowClaimsAndNotFiles(t *testing.T) {
	v := NewViews(16)
	f, err := Parse([]byte(good), 16)
	if err != nil {
		t.Fatal(err)
	}
	v.SetFile(f)
	if got := v.View(); len(got.Members) != 3 || got.Members["g1"].State != topology.MemberJoining || got.Reachable(0) != nil {
		t.Fatalf("nobody has claimed anything: %+v", got)
	}
	c := claims("g2@x", 5, 16)
	c[1] = Claim{Owner: "stranger@y", Epoch: 6, Present: true}
	c[2] = Claim{Owner: Released, Epoch: 7}
	c[3] = Claim{Owner: "g1@dead", Epoch: 8}
	c[4] = Claim{Unread: true}
	v.SetClaims(c)
	got := v.View()
	if err := got.Check(); err != nil {
		t.Fatal(err)
	}
	if m := got.Reachable(0); m == nil || m.ID != "g2@x" || m.Address != "10.0.0.2:7080" || got.Shards[0].Epoch != 5 {
		t.Errorf("shard 0: %+v", m)
	}
	for i := 1; i < 5; i++ {
		if m := got.Reachable(protocol.ShardID(i)); m != nil {
			t.Errorf("shard %d is asked for at %+v", i, m)
		}
	}
	if got.Shards[1].Member != "stranger@y" || got.Shards[2] != (topology.Shard{Epoch: 7}) || got.Members["g1@dead"].State != topology.MemberGone {
		t.Errorf("%+v", got)
	}
	lost := claims("g1@z", 4, 16) // of a store that has lost claims
	lost[4].Unread = true
	v.SetClaims(lost)
	if v.View() != got {
		t.Error("a view has followed older claims")
	}
	c[0].Unread = true
	v.SetClaims(c)
	if v.View() != got {
		t.Error("a view has followed a claim that was not read")
	}
}
