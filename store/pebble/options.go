package pebble

import (
	"log/slog"

	engine "github.com/cockroachdb/pebble/v2"
)

const (
	bigMemTable   = 32 * miB
	diskPerTable  = 512 // a disk has room for this many memtables at least
	stopWrites    = 4   // memtables that wait for their flush before a checkpoint waits
	maxSegments   = 4   // files of the journal: written, full, prepared, and one more while a checkpoint takes long
	maxOpenFiles  = 256 // descriptors are for streams
	manifestBytes = 16 * miB
)

// memTableBytes is the configured size, or one that leaves the engine room on a disk of total bytes (0: unknown), and in memory.
func memTableBytes(cfg *Config, total uint64) int64 {
	if cfg.MemTableBytes != 0 {
		return cfg.MemTableBytes
	}
	most := int64(bigMemTable)
	if cfg.MemoryBytes != 0 {
		most = min(most, max(cfg.MemoryBytes/memoryTables, minMemTable))
	}
	if total == 0 {
		return most
	}
	return min(max(int64(total/diskPerTable), minMemTable), most)
}

// memoryTables is how many memtables' bytes the store takes in memory at worst: the segments of the journal, each twice a memtable,
// whose rows take up to three times their bytes where messages are tiny; the memtables themselves; what waits for the write under
// way, and is written.
const memoryTables = maxSegments*2*3 + stopWrites + 2*2

// MostMemory is the bytes that the store takes in memory at worst, and how many of them are not of Go's heap: the engine's memtables
// and cache. On a small disk it is less.
func (c Config) MostMemory() (all, outside int64) {
	table := memTableBytes(&c, 0)
	return memoryTables*table - maxSegments*2*3*table + maxSegments*3*segmentBytes(&c, table) + c.CacheBytes, stopWrites*table + c.CacheBytes
}

// segmentBytes is how large a segment of the journal gets.
func segmentBytes(cfg *Config, memTable int64) int64 {
	if cfg.SegmentBytes != 0 {
		return cfg.SegmentBytes
	}
	return 2 * memTable
}

// options tunes the engine for rows that come with checkpoints, in order, and are read seldom. The sizes of files and levels
// follow the memtable, so that a compaction's output stays within the reserve (diskspace.go).
func options(cfg *Config, memTable int64, log *slog.Logger, space *diskSpace) *engine.Options {
	compactions, pile := 2, 32
	if memTable < bigMemTable {
		compactions, pile = 1, 12 // two at once take twice the room; what piles up is merged at once, and must fit
	}
	o := &engine.Options{
		FS:                          guardFS{cfg.fs(), space},
		Logger:                      engineLog{log: log, exit: cfg.Exit},
		EventListener:               listener(log, space),
		FormatMajorVersion:          engine.FormatNewest,
		DisableWAL:                  true, // the journal is the log
		MemTableSize:                uint64(memTable),
		MemTableStopWritesThreshold: stopWrites,
		CacheSize:                   max(cfg.CacheBytes, 1),
		MaxOpenFiles:                maxOpenFiles,
		MaxManifestFileSize:         min(manifestBytes, memTable),
		BytesPerSync:                512 * kiB,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       pile,
		LBaseMaxBytes:               min(64*miB, 2*memTable),
		FlushSplitBytes:             min(4*miB, memTable),
		CompactionConcurrencyRange:  func() (int, int) { return 1, compactions },
	}
	if memTable < bigMemTable { // else 2 MiB, doubling from level to level
		for i := range o.TargetFileSizes {
			o.TargetFileSizes[i] = min(2*miB, memTable/2)
		}
	}
	if cfg.FS == nil {
		o.WithFSDefaults() // watches the operating system's files for slowness
	}
	return o
}
