package pebble

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

// The crash suite runs a script of calls, on a journal of tiny segments that is checkpointed all the time, and at every step of the file system takes what a loss of power would have
// left at that moment. From each such disk the store must open, and each user's mailbox must be one that the user's calls
// made in order: none of those that were answered undone, none done in part.

// history is one user's calls: the states that they lead through, and how far they have come.
type history struct {
	user protocol.UserID

	mu       sync.Mutex
	states   []string // states[i] is the mailbox after i calls
	started  int
	answered int // durable calls, and all before them
}

func (j *history) start(state string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.states = append(j.states, state)
	j.started++
}

func (j *history) answer(durable bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if durable {
		j.answered = j.started
	}
}

// moment is what a crash must keep, and may keep.
type moment struct {
	disk     *vfs.MemFS
	op       string
	unsynced int // percent of what was not synced that survived
	answered []int
	started  []int
	identity store.Identity // zero: Open had not returned
}

type crashRun struct {
	cfg       Config
	fs        *vfs.MemFS
	rng       *rand.Rand
	histories []*history
	moments   chan moment

	checked int // owned by who checks

	mu       sync.Mutex
	identity store.Identity
	steps    int
}

// crash is called before each step that changes the disk.
func (r *crashRun) crash(op string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.steps++
	for _, unsynced := range []int{0, 1 + r.rng.IntN(100)} {
		m := moment{op: fmt.Sprintf("%d %s", r.steps, op), unsynced: unsynced, identity: r.identity}
		for _, j := range r.histories {
			j.mu.Lock()
			m.answered = append(m.answered, j.answered)
			j.mu.Unlock()
		}
		m.disk = r.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: r.rng})
		for _, j := range r.histories {
			j.mu.Lock()
			m.started = append(m.started, j.started)
			j.mu.Unlock()
		}
		r.moments <- m
	}
}

// runCrashes runs the script, and answers what was wrong after which crash.
func runCrashes(t *testing.T, noSync bool) (faults []string, steps int) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := &crashRun{fs: vfs.NewCrashableMem(), rng: rand.New(rand.NewPCG(seed, 1)), moments: make(chan moment, 4)}
	for i := range 3 {
		r.histories = append(r.histories, &history{user: protocol.UserID(fmt.Sprint("u", i)), states: []string{describe(store.Mailbox{})}})
	}
	r.cfg = testConfig(t, &gateFS{FS: r.fs, step: r.crash})
	r.cfg.noSync = noSync
	r.cfg.SegmentBytes, r.cfg.CheckpointEvery, r.cfg.CheckpointDelay = minSegment, 10*time.Millisecond, 0
	var checking sync.WaitGroup
	checking.Go(func() {
		for m := range r.moments {
			if err := r.check(m); err != nil {
				faults = append(faults, fmt.Sprintf("crash before %s, %d %% of the unsynced kept: %v", m.op, m.unsynced, err))
			}
		}
	})
	for range 2 {
		r.life(t, seed)
	}
	close(r.moments)
	checking.Wait()
	return faults, r.steps
}

// life opens the store, has each user call it in its own goroutine, flushes meanwhile, and closes it.
func (r *crashRun) life(t *testing.T, seed uint64) {
	s, err := Open(r.cfg, quiet(), nil)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	r.mu.Lock()
	r.identity = s.Identity()
	r.mu.Unlock()
	claim(t, s)
	var users sync.WaitGroup
	for i, j := range r.histories {
		rng := rand.New(rand.NewPCG(seed, uint64(i)+10))
		users.Go(func() {
			u := crashUser{s: s, j: j, rng: rng}
			if err := u.run(25); err != nil {
				t.Errorf("user %s: %v", j.user, err)
			}
		})
	}
	for range 2 {
		checkpoint(t, s)
	}
	users.Wait()
	if err := s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false); err != nil {
		t.Errorf("compact: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// crashUser makes random calls for one user.
type crashUser struct {
	s   *Store
	j   *history
	rng *rand.Rand
	box store.Mailbox
}

func (u *crashUser) run(calls int) error {
	ctx := context.Background()
	var err error
	if u.box, err = u.s.Load(ctx, owner, u.j.user); err != nil {
		return err
	}
	for range calls {
		switch n := u.rng.IntN(10); {
		case n < 6:
			err = u.append(ctx)
		case n < 8:
			err = u.save(ctx, n == 6)
		default:
			err = u.forget(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (u *crashUser) append(ctx context.Context) error {
	a := store.Append{Owner: owner, User: u.j.user, Kills: u.drop()}
	for range 1 + u.rng.IntN(2) {
		n := len(u.box.Seen) + 1
		e := entry(fmt.Sprint("m", n), protocol.LanePriority(u.rng.IntN(protocol.Lanes)), uint64(n))
		e.Message.Payload = make([]byte, u.rng.IntN(3000))
		a.Entries = append(a.Entries, e)
		u.box.Entries = append(u.box.Entries, e)
		u.box.Seen = append(u.box.Seen, store.Seen{ID: e.Message.ID})
	}
	u.j.start(describe(u.box))
	err := storetest.Append(ctx, u.s, []store.Append{a})[0]
	u.j.answer(true)
	return err
}

// drop takes an entry out of the box now and then.
func (u *crashUser) drop() (refs []store.Ref) {
	if len(u.box.Entries) == 0 || u.rng.IntN(2) == 0 {
		return nil
	}
	i := u.rng.IntN(len(u.box.Entries))
	e := u.box.Entries[i]
	u.box.Entries = slices.Delete(u.box.Entries, i, i+1)
	return []store.Ref{{Priority: e.Message.Priority, Position: e.Position}}
}

func (u *crashUser) forget(ctx context.Context) error {
	refs := u.drop()
	u.j.start(describe(u.box))
	return errors.Join(u.s.Forget(ctx, []store.Forget{{Owner: owner, User: u.j.user, Refs: refs}})...)
}

func (u *crashUser) save(ctx context.Context, durable bool) error {
	d := store.Device{ID: "d", LastSeenMS: u.rng.Int64()}
	u.box.Devices = []store.Device{d}
	u.j.start(describe(u.box))
	err := errors.Join(u.s.SaveDevices(ctx, []store.DeviceSave{{Owner: owner, User: u.j.user, Device: d}}, durable)...)
	u.j.answer(durable)
	return err
}

// describe is a mailbox as text, the order of its entries aside.
func describe(m store.Mailbox) string {
	var lines []string
	for _, e := range m.Entries {
		lines = append(lines, fmt.Sprintf("entry %s %d %v %d %q %q", e.Message.ID, e.Message.Priority, e.Position, len(e.Message.Payload), e.Message.CollapseKey, e.Where))
	}
	for _, s := range m.Seen {
		lines = append(lines, "seen "+string(s.ID))
	}
	for _, d := range m.Devices {
		lines = append(lines, fmt.Sprintf("device %s %d", d.ID, d.LastSeenMS))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// replayCuts is at how many steps of an Open the power is cut again, at most; every replayed moment's Open is.
const (
	replayCuts    = 6
	replayMoments = 5 // one in so many
)

// check opens the store from what a crash left: at times with a further loss of power while it replays the journal.
func (r *crashRun) check(m moment) error {
	if r.checked++; r.checked%replayMoments == 0 {
		for n, disk := range r.cutReplay(m.disk) {
			again := m
			again.disk = disk
			if err := r.open(again); err != nil {
				return fmt.Errorf("and again in step %d of the open after it: %w", n, err)
			}
		}
	}
	return r.open(m)
}

// cutReplay is what losses of power at steps of an Open leave of disk.
func (r *crashRun) cutReplay(disk *vfs.MemFS) (left map[int]*vfs.MemFS) {
	left = make(map[int]*vfs.MemFS)
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(uint64(r.checked), 7))
	copied := disk.CrashClone(vfs.CrashCloneCfg{}) // all of it is synced
	steps := 0
	cfg := r.cfg
	cfg.noSync = false
	cfg.FS = &gateFS{FS: copied, step: func(string) {
		mu.Lock()
		defer mu.Unlock()
		if steps++; len(left) < replayCuts && rng.IntN(3) == 0 {
			left[steps] = copied.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		}
	}}
	if s, err := Open(cfg, quiet(), nil); err == nil { // else the caller finds out
		_ = s.Close()
	}
	mu.Lock()
	defer mu.Unlock()
	return left
}

func (r *crashRun) open(m moment) error {
	cfg := r.cfg
	cfg.FS, cfg.noSync = m.disk, false
	s, err := Open(cfg, quiet(), nil)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer s.Close()
	if m.identity != (store.Identity{}) && s.Identity() != m.identity {
		return fmt.Errorf("another identity")
	}
	if last, _ := s.LastEpoch(context.Background()); last == 0 && slices.Max(m.answered) > 0 {
		return fmt.Errorf("the claim is lost")
	}
	if err := errors.Join(s.Claim(context.Background(), []protocol.ShardID{1}, 1, "test")...); err != nil {
		return err
	}
	for i, j := range r.histories {
		box, err := s.Load(context.Background(), owner, j.user)
		if err != nil {
			return err
		}
		j.mu.Lock()
		allowed := j.states[m.answered[i] : m.started[i]+1]
		j.mu.Unlock()
		if got := describe(box); !slices.Contains(allowed, got) {
			return fmt.Errorf("user %s, %d calls answered, %d started; found\n%s\nlast answered state\n%s",
				j.user, m.answered[i], m.started[i], got, allowed[0])
		}
	}
	return nil
}

func TestCrashAtEveryStepKeepsWhatWasAnswered(t *testing.T) {
	faults, steps := runCrashes(t, false)
	t.Logf("%d steps", steps)
	for i, f := range faults {
		if i == 3 {
			t.Fatalf("and %d more", len(faults)-3)
		}
		t.Error(f)
	}
	if steps < 200 {
		t.Errorf("only %d steps: the script misses what it should see", steps)
	}
}

// The suite must be able to fail: a store that does not sync loses what it answered.
func TestCrashSuiteSeesMissingSync(t *testing.T) {
	faults, steps := runCrashes(t, true)
	t.Logf("%d faults in %d steps", len(faults), steps)
	if len(faults) == 0 {
		t.Fatal("no loss was seen in a store that does not sync")
	}
}
