package pebble

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/store/pebble/journal"
)

const (
	kiB = 1 << 10
	miB = 1 << 20

	minMemTable = 256 * kiB
	maxMemTable = 1 << 30
	minSegment  = 16 * kiB
)

// Config of the embedded store.
type Config struct {
	// Dir holds the store's files; it is made where it does not exist. One process at a time.
	Dir string `yaml:"-"`
	// IDRetention is how long an id counts as a duplicate. Default 5 min. SPEC 9. Longer makes loads dearer by little,
	// and the disk fuller by about 60 bytes a message.
	IDRetention time.Duration `yaml:"-"`
	// Shards is how many shards the users are kept under; a store that was made with another number is refused. 0: it does not matter.
	Shards int `yaml:"-"`

	// MemoryBytes is what the store should take in memory at most, CacheBytes left out: it makes a memtable that follows the disk
	// smaller. 0: there is plenty.
	MemoryBytes int64 `yaml:"-"`

	MemTableBytes   int64         `yaml:"memtable_bytes" doc:"Bytes that checkpoints keep in memory before they are flushed into a file. 0: by the size of the disk, from 256KiB for one of up to 128MiB to 32MiB from 16GiB on, and less where memory is small. Twice that is in use at times, four times while the disk is slow; with the journal the store takes 12 times that as a rule, 32 times at worst."`
	SegmentBytes    int64         `yaml:"segment_bytes" doc:"Bytes of a segment of the journal, of which there are up to four. What is acked before its segment is full, and checkpoint_delay over, is never written a second time. 0: twice memtable_bytes."`
	CheckpointEvery time.Duration `yaml:"checkpoint_every" doc:"How old a segment of the journal gets before the next is begun."`
	CheckpointDelay time.Duration `yaml:"checkpoint_delay" doc:"How long a full segment is left alone before what is still needed of it is put into tables: longer than gateway.save_interval, or acks come too late to spare it."`
	Linger          time.Duration `yaml:"linger" doc:"How long a device's first record waits for others to share its fsync. 0: not at all. Messages never wait."`

	CacheBytes      int64         `yaml:"cache_bytes" doc:"Bytes of the cache of blocks read from files. 0: no cache."`
	ReserveBytes    int64         `yaml:"reserve_bytes" doc:"Free space of the disk under which nothing is accepted. 0: 24 times the memtable, at most 512MiB. Watch ramen_store_free_bytes."`
	ReserveLowBytes int64         `yaml:"reserve_low_bytes" doc:"Free space under which low priority is not accepted; medium stops half way between the two. 0: twice reserve_bytes."`
	MaxPendingBytes int64         `yaml:"max_pending_bytes" doc:"Most bytes that wait for the write under way, at most twice the memtable; calls beyond it wait for room."`
	MaxOverdue      int           `yaml:"max_overdue" doc:"Most calls whose callers gave up and whose write goes on; beyond it every write is refused at once, before anything is done, until the disk answers."`
	MaxReads        int           `yaml:"max_reads" doc:"Most loads and scans at one time; others wait for their turn."`
	LazySync        time.Duration `yaml:"lazy_sync" doc:"How long what is saved lazily may wait for its fsync where nothing else brings one."`
	CloseTimeout    time.Duration `yaml:"close_timeout" doc:"How long the store may take to close where the disk does not answer."`

	// FS replaces the operating system's files. Nil: those of the operating system.
	FS vfs.FS `yaml:"-"`
	// Exit ends the process when the engine cannot go on; it must not return. Nil: os.Exit.
	Exit func(code int) `yaml:"-"`
	// Now is the clock. Nil: time.Now.
	Now func() time.Time `yaml:"-"`

	salvage func(journal.Note) // Open goes on behind what is damaged in the journal, and tells of it
	noSync  bool               // tests: break promise 1, to see that the crash suite finds out
}

// Default is the configuration of a store in dir "data".
func Default() Config {
	return Config{
		Dir:             "data",
		IDRetention:     5 * time.Minute,
		CheckpointEvery: 10 * time.Second,
		CheckpointDelay: 2 * time.Second,
		Linger:          2 * time.Millisecond,
		CacheBytes:      32 * miB,
		MaxPendingBytes: 16 * miB,
		MaxOverdue:      1024,
		MaxReads:        64,
		LazySync:        time.Second,
		CloseTimeout:    10 * time.Second,
	}
}

// Validate says what is wrong with c, all at once.
func (c Config) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("store/pebble: "+format, args...))
		}
	}
	bad(c.Dir == "", "dir is empty: name the directory for the store's files")
	bad(c.IDRetention < time.Second || c.IDRetention > 7*24*time.Hour, "id_retention is %v: must be from 1s to 168h", c.IDRetention)
	bad(c.MemTableBytes != 0 && (c.MemTableBytes < minMemTable || c.MemTableBytes > maxMemTable),
		"memtable_bytes is %d: must be 0 (by the size of the disk) or from %d to %d", c.MemTableBytes, minMemTable, maxMemTable)
	bad(c.SegmentBytes != 0 && (c.SegmentBytes < minSegment || c.SegmentBytes > maxMemTable),
		"segment_bytes is %d: must be 0 (twice the memtable) or from %d to %d", c.SegmentBytes, minSegment, maxMemTable)
	bad(c.CheckpointEvery < 10*time.Millisecond, "checkpoint_every is %v: must be at least 10ms", c.CheckpointEvery)
	bad(c.CheckpointDelay < 0 || c.CheckpointDelay > time.Minute, "checkpoint_delay is %v: must be from 0s to 1m", c.CheckpointDelay)
	bad(c.Linger < 0 || c.Linger > 100*time.Millisecond, "linger is %v: must be from 0s to 100ms", c.Linger)
	bad(c.CacheBytes < 0, "cache_bytes is %d: must not be negative", c.CacheBytes)
	bad(c.ReserveBytes < 0, "reserve_bytes is %d: must not be negative (0: by the memtable)", c.ReserveBytes)
	bad(c.ReserveLowBytes != 0 && c.ReserveLowBytes < c.ReserveBytes,
		"reserve_low_bytes is %d: must be 0 (twice reserve_bytes) or at least reserve_bytes, %d", c.ReserveLowBytes, c.ReserveBytes)
	bad(c.MaxPendingBytes < 64*kiB, "max_pending_bytes is %d: must be at least %d", c.MaxPendingBytes, 64*kiB)
	bad(c.MaxOverdue < 1, "max_overdue is %d: must be at least 1", c.MaxOverdue)
	bad(c.MaxReads < 1, "max_reads is %d: must be at least 1", c.MaxReads)
	bad(c.LazySync <= 0, "lazy_sync is %v: must be over 0", c.LazySync)
	bad(c.CloseTimeout <= 0, "close_timeout is %v: must be over 0", c.CloseTimeout)
	return errors.Join(errs...)
}

func (c *Config) fill() {
	if c.Exit == nil {
		c.Exit = os.Exit
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// fs is the file system in use.
func (c *Config) fs() vfs.FS {
	if c.FS != nil {
		return c.FS
	}
	return vfs.Default
}
