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
	diskLookEvery = 250 * time.Millisecond // the disk is asked again after this time
	diskLookBytes = 256 * kiB              // or after so many bytes were written
	// writeFactor is how many bytes of the disk a written byte takes: one in the journal, one when it is checkpointed.
	writeFactor = 2
	// reserveTables is the reserve, in memtables. After messages are refused the engine still flushes the memtables that wait, and
	// writes a compaction's output beside its input: 15 were seen (TestReserveCoversFlushes). If the reserve is too small,
	// compactions wait (fs.go).
	reserveTables = 24
	maxReserve    = 512 * miB
	// starvedFor is how long messages are refused after a compaction found no room. The engine tries again within spacePause.
	starvedFor = 5 * time.Second
)

// ErrFull is the answer while the disk has too little space for a message of that priority.
var ErrFull = errors.New("store/pebble: the disk is nearly full")

// diskSpace refuses writes before the disk is full. It asks the file system when it is itself asked, and never on its own.
type diskSpace struct {
	fs      vfs.FS
	dir     string
	log     *slog.Logger
	metrics *metrics
	floors  [protocol.Lanes]uint64 // by lane: the free bytes below which messages are refused
	// Lower than all floors: the free bytes below which compactions wait, kills and saves are refused, and flushes wait.
	compactions, rest, flushes uint64

	mu           sync.Mutex // held by the caller that asks the file system
	checked      atomic.Int64
	free         atomic.Uint64
	spent        atomic.Int64 // bytes written since checked
	starved      atomic.Int64 // until when messages are refused because a compaction found no room
	start        time.Time
	spoken       sparse
	journalSpace *journalSpace
	debt         func() int64 // bytes that checkpoints have yet to write to tables
}

// newDiskSpace computes the floors for a disk of total bytes. 0: the file system does not tell, and there are no floors.
func newDiskSpace(cfg *Config, total uint64, memTable int64, log *slog.Logger) *diskSpace {
	s := &diskSpace{fs: cfg.fs(), dir: cfg.Dir, log: log, start: time.Now()}
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

// messagesOf says in errors what is refused, by lane.
var messagesOf = [protocol.Lanes]string{"high priority", "medium priority", "low priority"}

// admit returns nil if messages of priority p, bytes in all, may be written. It counts and logs a refusal.
func (s *diskSpace) admit(p protocol.Priority, bytes int) error {
	err := s.refusal(p, bytes)
	if err != nil {
		s.metrics.refused[p.Lane()].Inc()
		if n, ok := s.spoken.next(); ok {
			s.log.Warn("store: messages are refused", "error", err.Error(), "times", n)
		}
	}
	return err
}

// refusal is admit without counting and logging.
func (s *diskSpace) refusal(p protocol.Priority, bytes int) error {
	floor := s.floors[p.Lane()]
	if floor > 0 {
		floor += uint64(s.debt())
	}
	err := s.requireFree(floor, bytes, messagesOf[p.Lane()])
	if err == nil {
		err = s.journalSpace.admit(journalShares[p.Lane()], messagesOf[p.Lane()])
	}
	if err == nil && s.isStarved() {
		err = fmt.Errorf("%w: a compaction waits for room: free or add space in %s", ErrFull, s.dir)
	}
	return err
}

// isStarved reports whether a compaction found no room lately. Messages are refused until it succeeds, since only it can free what
// they would take; so the next try may use nearly all that is free.
func (s *diskSpace) isStarved() bool {
	until := s.starved.Load()
	return until != 0 && until > int64(time.Since(s.start))
}

// awaitCompaction waits up to spacePause for the space that a file of a compaction needs, and reports whether there is.
func (s *diskSpace) awaitCompaction() bool {
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

// compacted notes that a compaction succeeded.
func (s *diskSpace) compacted() { s.starved.Store(0) }

// admitRest returns nil if anything but messages may be written: kills, device records, claims. They free or replace rows in the end,
// but take space first.
func (s *diskSpace) admitRest() error {
	if err := s.requireFree(s.rest, 0, "anything"); err != nil {
		return err
	}
	return s.journalSpace.admit(journalRest, "anything")
}

// admitJournal returns nil if the journal may make files of so many bytes without using the reserve.
func (s *diskSpace) admitJournal(bytes int64) error {
	if s.rest == 0 {
		return nil
	}
	err := s.requireFree(s.floors[0]+uint64(bytes), 0, "a segment of the journal")
	if err == nil {
		s.wrote(int(bytes / writeFactor))
	}
	return err
}

func (s *diskSpace) requireFree(floor uint64, bytes int, what string) error {
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

// left is the free space at the last check, less what was written since.
func (s *diskSpace) left() uint64 {
	free, spent := s.free.Load(), uint64(s.spent.Load())*writeFactor
	if spent > free {
		return 0
	}
	return free - spent
}

// freeBytes is the value of a gauge; -1: the file system does not tell.
func (s *diskSpace) freeBytes() float64 {
	if s.rest == 0 {
		return -1
	}
	s.refresh() // the last check may be old
	return float64(s.left())
}

// wrote counts n bytes as written.
func (s *diskSpace) wrote(n int) { s.spent.Add(int64(n)) }

// await waits up to spacePause until floor bytes are free, and reports whether they are.
func (s *diskSpace) await(floor uint64) bool {
	if floor == 0 {
		return true
	}
	for end := time.Now().Add(spacePause); ; time.Sleep(spacePoll) {
		s.mu.Lock()
		s.look() // always: a compaction writes faster than messages come in
		s.mu.Unlock()
		if s.left() >= floor {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// refresh asks the file system if the last check is too old. One caller asks; the others go on with the last check.
func (s *diskSpace) refresh() {
	now := int64(time.Since(s.start))
	if now-s.checked.Load() < int64(diskLookEvery) && s.spent.Load() < diskLookBytes {
		return
	}
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	s.look()
}

func (s *diskSpace) look() {
	usage, err := s.fs.GetDiskUsage(s.dir)
	s.checked.Store(int64(time.Since(s.start)))
	if err != nil {
		return // keep the last check, and count writes against it
	}
	s.spent.Store(0)
	s.free.Store(usage.AvailBytes)
}
