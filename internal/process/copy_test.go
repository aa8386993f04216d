package process

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ramen/internal/testprocess"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/pebble"
	"ramen/store/storetest"
)

// TestACopyThatIsKilledGoesOn: kill -9 in its midst, again and again; then the whole is there: every message, device record and id.
func TestACopyThatIsKilledGoesOn(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	identity := fillStore(t, r, from)
	run := func(from, to string) *testprocess.Process {
		p := testprocess.New(exec.Command(binary, "store", "copy", "pebble:"+from, "pebble:"+to))
		p.Start(t)
		return p
	}
	twin := filepath.Join(dir, "twin") // what a copy takes here
	if err := os.CopyFS(twin, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	wantCopied(t, run(twin, filepath.Join(dir, "to-twin")))
	whole := time.Since(began)

	kills := 0
	p := run(from, to)
	for ; kills < 5; p = run(from, to) {
		killing := time.NewTimer(whole/20 + time.Duration(r.Int64N(int64(whole*4/10))))
		select {
		case <-killing.C:
			p.Kill()
		case <-p.Ended: // those that go on are sooner at the end
			wantCopied(t, p)
		}
		if strings.Contains(p.Out.String(), "copied and compared") {
			break
		}
		kills++
	}
	if kills == 0 {
		t.Fatal("it was never killed in its midst: there is nothing to see")
	}
	t.Logf("killed %d times", kills)
	wantCopied(t, p)
	got, want := contentsOf(t, to), contentsOf(t, from)
	for u, g := range got.boxes { // an id may be remembered from its copy on: that is later
		for i, w := range want.boxes[u].Seen {
			if i < len(g.Seen) && g.Seen[i].ID == w.ID && g.Seen[i].AcceptedMS > w.AcceptedMS {
				g.Seen[i].AcceptedMS = w.AcceptedMS
			}
		}
	}
	if !reflect.DeepEqual(got.boxes, want.boxes) || len(want.boxes) != copiedUsers {
		for u, w := range want.boxes {
			if g := got.boxes[u]; !reflect.DeepEqual(g, w) {
				t.Errorf("%v: %d messages, %d devices and %d ids; want %d, %d and %d, or they differ", u,
					len(g.Entries), len(g.Devices), len(g.Seen), len(w.Entries), len(w.Devices), len(w.Seen))
			}
		}
		t.Errorf("%d users of %d", len(got.boxes), len(want.boxes))
	}
	if got.identity != identity || want.identity == identity {
		t.Errorf("identity of the target %+v, of the source %+v, which had %+v", got.identity, want.identity, identity)
	}
}

func wantCopied(t *testing.T, p *testprocess.Process) {
	t.Helper()
	select {
	case <-p.Ended:
	case <-time.After(testprocess.Patience):
		t.Fatal("the copy does not end")
	}
	if !strings.Contains(p.Out.String(), "copied and compared") || p.Err.String() != "" {
		t.Fatalf("the copy failed, or shows progress where there is no terminal: %s", p.All)
	}
}

const (
	copiedUsers  = 2000
	copiedShards = 1024 // the default's
)

func copyStore(t *testing.T, dir string) *pebble.Store {
	t.Helper()
	cfg := pebble.Default()
	cfg.Dir, cfg.Shards = dir, copiedShards
	s, err := pebble.Open(cfg, slog.New(slog.NewTextHandler(io.Discard, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func claimAll(t *testing.T, s store.Store, epoch protocol.Epoch) {
	t.Helper()
	all := make([]protocol.ShardID, copiedShards)
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	if err := errors.Join(s.Claim(t.Context(), all, epoch, "self")...); err != nil {
		t.Fatal(err)
	}
}

// fillStore makes a store with messages, some of which are gone, and devices.
func fillStore(t *testing.T, r *rand.Rand, dir string) store.Identity {
	t.Helper()
	s := copyStore(t, dir)
	claimAll(t, s, 1)
	now := time.Now().UnixMilli()
	var steps []store.Append
	var devices []store.DeviceSave
	for i := range copiedUsers {
		at, user := store.Owner{Shard: protocol.ShardID(r.IntN(copiedShards)), Epoch: 1}, protocol.UserID(fmt.Sprintf("user-%d", i))
		step := store.Append{Owner: at, User: user}
		for n := range 1 + r.IntN(20) {
			position := protocol.Position{Epoch: 1, Micros: uint64(now)*1000 + uint64(n)}
			p := protocol.LanePriority(r.IntN(protocol.Lanes))
			step.Entries = append(step.Entries, store.Entry{Position: position, Message: &protocol.Message{
				ID: protocol.MessageID(fmt.Sprintf("%s-%d", user, n)), Type: "test", Priority: p, Payload: make([]byte, 1+r.IntN(2000)),
				ContentType: protocol.ContentTypeJSON, CreatedMS: now, ExpiresMS: now + 3_600_000,
			}})
			if r.IntN(3) == 0 {
				step.Kills = append(step.Kills, store.Ref{Priority: p, Position: position})
			}
		}
		device := store.Device{ID: "phone", Greeted: true, LastSeenMS: now, Acked: protocol.Cursor{Seq: protocol.Seq(r.IntN(9))}}
		steps, devices = append(steps, step), append(devices, store.DeviceSave{Owner: at, User: user, Device: device})
	}
	if err := errors.Join(storetest.Append(t.Context(), s, steps)...); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(append(s.SaveDevices(t.Context(), devices, true), s.Close())...); err != nil {
		t.Fatal(err)
	}
	return s.Identity()
}

type storeContents struct {
	identity store.Identity
	boxes    map[store.ShardUser]store.Mailbox
}

func contentsOf(t *testing.T, dir string) storeContents {
	t.Helper()
	s := copyStore(t, dir)
	last, _ := s.LastEpoch(t.Context())
	claimAll(t, s, last+1)
	c := storeContents{s.Identity(), make(map[store.ShardUser]store.Mailbox)}
	for page, first := "", true; first || page != ""; first = false {
		users, next, err := s.Users(t.Context(), page, 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			if c.boxes[u], err = s.Load(t.Context(), store.Owner{Shard: u.Shard, Epoch: last + 1}, u.User); err != nil {
				t.Fatal(err)
			}
		}
		page = next
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return c
}
