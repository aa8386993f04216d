package pebble

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/store"
)

// formatVersion is of rows and journal: 2 since there is a journal, 3 since its segments tell their size and end, 4 since claims
// have an owner. One of oldestFormat on is read, and made one of this by Open; another is refused.
const (
	formatVersion = 4
	sizedFormat   = 3
	oldestFormat  = 2
)

// open opens the files, and reads what is kept in memory.
func (s *Store) open(log *slog.Logger) error {
	fs, dir := s.cfg.fs(), s.cfg.Dir
	if err := makeDir(fs, dir); err != nil {
		return err
	}
	lock, err := lockDir(fs, dir)
	if err != nil {
		return err
	}
	fresh, err := s.prepareDir()
	if err == nil {
		err = s.openEngine(log, lock.file, fresh)
	}
	if err != nil {
		return errors.Join(err, lock.close())
	}
	s.lock = lock
	if err = s.readState(); err == nil {
		err = s.replay()
	}
	if err == nil {
		err = s.removeMarkers()
	}
	if err != nil {
		s.metrics.all.Unregister(s.registry)
		err = errors.Join(err, s.db.Close())
		if s.journal != nil {
			err = errors.Join(err, s.journal.Close())
		}
		return errors.Join(err, lock.close())
	}
	s.checkpointer = newCheckpointer(s, log)
	s.commits = newCommitter(s)
	return nil
}

func (s *Store) openEngine(log *slog.Logger, lock *engine.Lock, fresh bool) error {
	var total uint64
	if usage, err := s.cfg.fs().GetDiskUsage(s.cfg.Dir); err == nil {
		total = usage.TotalBytes
	} else if !errors.Is(err, vfs.ErrUnsupported) {
		return fmt.Errorf("read the size of the disk: %w", err)
	}
	memTable := memTableBytes(&s.cfg, total)
	s.diskSpace = newDiskSpace(&s.cfg, total, memTable, log)
	s.diskSpace.journalSpace, s.diskSpace.debt = &s.journalSpace, s.overlay.size
	m, err := newMetrics(s.registry, gauges{
		free: s.diskSpace.freeBytes, disk: s.diskBytes, journal: s.journalBytes, overlay: func() float64 { return float64(s.overlay.size()) },
	})
	if err != nil {
		return err
	}
	s.metrics, s.diskSpace.metrics = m, m
	s.memTable = memTable
	o := options(&s.cfg, memTable, log, s.diskSpace)
	o.Lock, o.ErrorIfNotExists = lock, !fresh
	if s.db, err = engine.Open(s.cfg.Dir, o); err != nil {
		m.all.Unregister(s.registry)
		return fmt.Errorf("open the tables: %w; if a file is missing or damaged, restore a backup (ramen store verify %s reports what is wrong)", err, s.cfg.Dir)
	}
	return nil
}

// diskBytes is asked by a scrape.
func (s *Store) diskBytes() float64 {
	if !s.reads.tryBegin() {
		return 0
	}
	defer s.reads.end()
	return float64(s.db.Metrics().DiskSpaceUsage()) + s.journalBytes()
}

func (s *Store) journalBytes() float64 {
	if j := s.journalSpace.journal.Load(); j != nil {
		return float64(j.Bytes())
	}
	return 0 // a scrape while Open is under way
}

// readState reads the format, the identity, the epochs and the buckets, or writes the first two of a new store.
func (s *Store) readState() error {
	if err := s.readFormat(); err != nil {
		return err
	}
	if err := s.readIdentity(); err != nil {
		return err
	}
	if err := s.readShards(); err != nil {
		return err
	}
	if err := s.epochs.load(s.db); err != nil {
		return err
	}
	if err := s.readRenewed(); err != nil {
		return err
	}
	return s.buckets.load(s.db, s.cfg.IDRetention)
}

func (s *Store) readFormat() error {
	v, err := get(s.db, keyFormat)
	if errors.Is(err, engine.ErrNotFound) {
		return s.create()
	}
	if err != nil {
		return fmt.Errorf("read format: %w", err)
	}
	if len(v) != 1 || v[0] < oldestFormat || v[0] > formatVersion {
		return fmt.Errorf("the store has format %x, but this program reads formats %02x to %02x: use the release that wrote it, "+
			"or name an empty directory", v, oldestFormat, formatVersion)
	}
	s.format = v[0]
	return nil
}

// create draws the identity of a new store. Format, identity and the journal's start are one write, on the disk before
// they are used, and after the journal.
func (s *Store) create() error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	used := it.First()
	if err := it.Close(); err != nil {
		return err
	}
	if used {
		return errors.New("the directory holds another program's database")
	}
	if !s.creating { // an older release was cut off here
		l, err := list(s.cfg.fs(), s.cfg.Dir)
		if err == nil {
			err = s.journalIsBlank(&l)
		}
		if err == nil {
			err = s.beginCreating()
		}
		if err != nil {
			return err
		}
	}
	s.format = formatVersion
	identity := make([]byte, 4+16)
	rand.Read(identity) // never fails
	s.secret = journalSecret(identity)
	if err := s.openJournal(0); err != nil {
		return err
	}
	b := s.db.NewBatch()
	defer b.Close()
	_ = b.Set(keyFormat, []byte{formatVersion}, nil)
	_ = b.Set(keyIdentity, identity, nil)
	_ = b.Set(keyJournal, binary.BigEndian.AppendUint64(nil, 1), nil)
	if err := errors.Join(b.Commit(engine.NoSync), s.db.Flush()); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
}

func (s *Store) setFormat() error {
	if err := errors.Join(s.db.Set(keyFormat, []byte{formatVersion}, engine.NoSync), s.db.Flush()); err != nil {
		return fmt.Errorf("write format: %w", err)
	}
	return nil
}

func (s *Store) readIdentity() error {
	v, err := get(s.db, keyIdentity)
	if err != nil {
		return fmt.Errorf("read identity: %w", err)
	}
	if len(v) != 4+16 {
		return fmt.Errorf("read identity: %d bytes, not 20", len(v))
	}
	s.secret = journalSecret(v)
	s.identity = store.Identity{Generation: binary.BigEndian.Uint32(v), Key: [16]byte(v[4:])}
	return nil
}

// readShards refuses another number of shards than the users are kept under: most of them would not be found. A store
// that has none yet takes the configuration's.
func (s *Store) readShards() error {
	if s.cfg.Shards == 0 {
		return nil
	}
	v, err := get(s.db, keyShards)
	if errors.Is(err, engine.ErrNotFound) {
		shards := binary.BigEndian.AppendUint32(nil, uint32(s.cfg.Shards))
		if err := errors.Join(s.db.Set(keyShards, shards, engine.NoSync), s.db.Flush()); err != nil {
			return fmt.Errorf("write the number of shards: %w", err)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the number of shards: %w", err)
	}
	if len(v) != 4 || binary.BigEndian.Uint32(v) != uint32(s.cfg.Shards) {
		return fmt.Errorf("its users are stored in %d shards, but shards is %d: set it to the old value, or use another directory",
			binary.BigEndian.Uint32(append(v, 0, 0, 0, 0)), s.cfg.Shards)
	}
	return nil
}

func get(db *engine.DB, key []byte) ([]byte, error) {
	v, closer, err := db.Get(key)
	if err != nil {
		return nil, err
	}
	defer closer.Close()
	return append([]byte(nil), v...), nil
}

// makeDir makes dir and its parents, and syncs each that it made into its own parent: the files of a directory that a
// loss of power takes are lost with it.
func makeDir(fs vfs.FS, dir string) error {
	made := 1 // dir itself each time: the process that made it may not have come to the sync
	for up := fs.PathDir(dir); fs.PathDir(up) != up; up = fs.PathDir(up) {
		if _, err := fs.Stat(up); err == nil {
			break
		}
		made++
	}
	if err := fs.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make the directory: %w", err)
	}
	for parent := fs.PathDir(dir); made > 0; made, parent = made-1, fs.PathDir(parent) {
		err := syncDir(fs, parent)
		if errors.Is(err, os.ErrPermission) {
			return nil // not ours to read, and so not made by us
		}
		if err != nil {
			return fmt.Errorf("sync the directory: %w", err)
		}
	}
	return nil
}
