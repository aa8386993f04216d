package pebble

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
)

const (
	spaceEvery = 250 * time.Millisecond // how old the last look at the disk may be
	spaceSpent = 256 * kiB              // or how much may have been written since
	// writeFactor is what a written byte takes at once: in the journal, and again when it is checkpointed.
	writeFactor = 2
	// reserveTables is how many memtables the engine may need once nothing is taken any more: to flush those that wait,
	// and for the output of a compaction beside its input (15 were seen, TestReserveCoversFlushes).
	// Where it is not enough, compactions wait (fs.go).
	reserveTables = 24
	maxReserve    = 512 * miB
	// starvedFor is how long a compaction that found no room keeps messages out. The engine tries again within spacePause.
	starvedFor = 5 * time.Second
)

// ErrFull is the answer while the disk has too little room for a message of that priority.
var ErrFull = errors.New("store/pebble: the disk is nearly full")

// space refuses in time. It looks at the disk when it is asked, not on its own, and so recovers when it is asked.
type space struct {
	fs      vfs.FS
	dir     string
	log     *slog.Logger
	metrics *metrics
	floors  [protocol.Lanes]uint64 // by lane: the free bytes under which it is refused
	// Below all of them: the free bytes under which compactions wait, kills and saves are refused, and flushes wait.
	compactions, rest, flushes uint64

	mu      sync.Mutex // held by the one who looks
	checked atomic.Int64
	free    atomic.Uint64
	spent   atomic.Int64 // bytes written since checked
	starved atomic.Int64 // until when nothing is taken, since a compaction found no room
	start   time.Time
	spoken  sparse
	room    *room
	debt    func() int64 // bytes that checkpoints will write to tables
}

// newSpace works out the floors for a disk. A file system that cannot say its size has none.
func newSpace(cfg *Config, total uint64, memTable int64, log *slog.Logger) *space {
	s := &space{fs: cfg.fs(), dir: cfg.Dir, log: log, start: time.Now()}
	s.free.Store(^uint64(0))
	if total == 0 {
		return s
	}
	all := uint64(cfg.ReserveBytes)
	if all == 0 {
		all = min(reserveTables*uint64(memTable), maxReserve)
	}
	low := uint64(cfg.ReserveLowBytes)
	if low == 0 {
		low = max(2*all, uint64(cfg.ReserveBytes))
	}
	s.floors = [protocol.Lanes]uint64{all, all + (low-all)/2, low}
	s.compactions, s.rest, s.flushes = all/2, all/8, all/16
	s.look()
	return s
}

// messagesOf is what is refused, by lane: said only then.
var messagesOf = [protocol.Lanes]string{"high priority", "medium priority", "low priority"}

// admit answers whether an entry of priority p may be written, as the last of so many bytes that go together.
func (s *space) admit(p protocol.Priority, bytes int) error {
	err := s.refusal(p, bytes)
	if err != nil {
		s.metrics.refused[p.Lane()].Inc()
		if n, ok := s.spoken.next(); ok {
			s.log.Warn("store: messages are refused", "error", err.Error(), "times", n)
		}
	}
	return err
}

// refusal is admit's answer, without being counted.
func (s *space) refusal(p protocol.Priority, bytes int) error {
	floor := s.floors[p.Lane()]
	if floor > 0 {
		floor += uint64(s.debt())
	}
	err := s.below(floor, bytes, messagesOf[p.Lane()])
	if err == nil {
		err = s.room.admit(roomShares[p.Lane()], messagesOf[p.Lane()])
	}
	if err == nil && s.isStarved() {
		err = fmt.Errorf("%w: a compaction waits for room: free or add space in %s", ErrFull, s.dir)
	}
	return err
}

// isStarved reports a compaction that found no room. Were messages taken between its tries, they would pile up where
// only it can clear them away. While none are, the next try may use nearly all there is.
func (s *space) isStarved() bool {
	until := s.starved.Load()
	return until != 0 && until > int64(time.Since(s.start))
}

// awaitCompaction waits a moment for room for a file of a compaction, and answers whether there is.
func (s *space) awaitCompaction() bool {
	floor := s.compactions
	if s.isStarved() {
		floor = s.rest
	}
	if s.await(floor) {
		return true
	}
	s.starved.Store(int64(time.Since(s.start) + starvedFor))
	return false
}

// compacted ends starvation.
func (s *space) compacted() { s.starved.Store(0) }

// admitRest answers whether anything else may be written: kills, records, epochs. They shrink or replace rows in the
// end, but take room first.
func (s *space) admitRest() error {
	if err := s.below(s.rest, 0, "anything"); err != nil {
		return err
	}
	return s.room.admit(roomRest, "anything")
}

// admitJournal answers whether the journal may take so many bytes for its files: not of the reserve.
func (s *space) admitJournal(bytes int64) error {
	if s.rest == 0 {
		return nil
	}
	err := s.below(s.floors[0]+uint64(bytes), 0, "a segment of the journal")
	if err == nil {
		s.wrote(int(bytes / writeFactor))
	}
	return err
}

func (s *space) below(floor uint64, bytes int, what string) error {
	if floor == 0 {
		return nil
	}
	s.refresh()
	floor += uint64(bytes) * writeFactor
	free := s.left()
	if free >= floor {
		return nil
	}
	return fmt.Errorf("%w: %d MiB are free, %s needs %d MiB: free or add space in %s", ErrFull, free/miB, what, (floor+miB-1)/miB, s.dir)
}

// left is the free space less what was written since the last look.
func (s *space) left() uint64 {
	free, spent := s.free.Load(), uint64(s.spent.Load())*writeFactor
	if spent > free {
		return 0
	}
	return free - spent
}

// freeBytes is for a gauge: -1 where the file system does not say.
func (s *space) freeBytes() float64 {
	if s.rest == 0 {
		return -1
	}
	s.refresh() // nobody may have asked for a while
	return float64(s.left())
}

// wrote counts n bytes handed to the engine.
func (s *space) wrote(n int) { s.spent.Add(int64(n)) }

// await waits a moment for floor to be free, and answers whether it is.
func (s *space) await(floor uint64) bool {
	if floor == 0 {
		return true
	}
	for end := time.Now().Add(spacePause); ; time.Sleep(spacePoll) {
		s.mu.Lock()
		s.look() // what is known may be old: a compaction writes faster than messages come
		s.mu.Unlock()
		if s.left() >= floor {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// refresh looks at the disk where the last look is too old; one caller looks, the others go on with what is known.
func (s *space) refresh() {
	now := int64(time.Since(s.start))
	if now-s.checked.Load() < int64(spaceEvery) && s.spent.Load() < spaceSpent {
		return
	}
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	s.look()
}

func (s *space) look() {
	usage, err := s.fs.GetDiskUsage(s.dir)
	s.checked.Store(int64(time.Since(s.start)))
	if err != nil {
		return // what was known stands; writes go on counting against it
	}
	s.spent.Store(0)
	s.free.Store(usage.AvailBytes)
}
