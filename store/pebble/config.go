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
	// IDRetention is how long an id counts as a duplicate. Default 5 min. SPEC 9.2.2. Longer makes loads dearer by little,
	// and the disk fuller by about 60 bytes a message.
	IDRetention time.Duration `yaml:"-"`
	// Shards is how many shards the users are kept under; a store that was made with another number is refused. 0: it does not matter.
	Shards int `yaml:"-"`

	// MemoryBytes is what the store should take in memory at most, CacheBytes left out: it makes a memtable that follows the disk
	// smaller. 0: there is plenty.
	MemoryBytes int64 `yaml:"-"`

	MemTableBytes   int64         `yaml:"memtable_bytes" doc:"Size of the memtable, which checkpoints fill before it is flushed to a file. 0: by the size of the disk, from 256KiB (up to 128MiB of disk) to 32MiB (from 16GiB on), and less if memory is small. At times two memtables are in use, and four if the disk is slow. With the journal's messages the store usually takes 12 times this in memory, and at most 32 times (if messages are tiny)."`
	SegmentBytes    int64         `yaml:"segment_bytes" doc:"Size of a journal segment. There are up to four. A message that is acked before its segment is full and checkpoint_delay is over is written only once. 0: twice memtable_bytes."`
	CheckpointEvery time.Duration `yaml:"checkpoint_every" doc:"The longest time that a journal segment is written to before the next one is started."`
	CheckpointDelay time.Duration `yaml:"checkpoint_delay" doc:"How long a full segment waits before its live messages are written to tables. Longer than gateway.save_interval, so that acks can spare the write."`
	Linger          time.Duration `yaml:"linger" doc:"How long a new device's first record waits to share an fsync with others. 0: it does not wait. Messages never wait."`

	CacheBytes      int64         `yaml:"cache_bytes" doc:"Size of the cache for blocks that were read from files. 0: no cache."`
	ReserveBytes    int64         `yaml:"reserve_bytes" doc:"Free disk space below which no message is accepted. 0: 24 times the memtable, at most 512MiB. Watch the metric ramen_store_free_bytes."`
	ReserveLowBytes int64         `yaml:"reserve_low_bytes" doc:"Free disk space below which low priority messages are not accepted. Medium ones stop half way between the two. 0: twice reserve_bytes."`
	MaxPendingBytes int64         `yaml:"max_pending_bytes" doc:"The most bytes that wait for the current write, at most twice the memtable. Further calls wait."`
	MaxOverdue      int           `yaml:"max_overdue" doc:"The most writes that go on after their callers gave up. Beyond it every write is refused at once, and has no effect, until the disk answers."`
	MaxReads        int           `yaml:"max_reads" doc:"The most loads and scans at the same time. Others wait."`
	LazySync        time.Duration `yaml:"lazy_sync" doc:"The longest time that lazily saved data waits for an fsync if no other write brings one."`
	CloseTimeout    time.Duration `yaml:"close_timeout" doc:"How long the store waits for a disk that does not answer when it closes."`

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
