package pebble

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/codec"
	"ramen/store/pebble/journal"
)

// Report is what Verify found.
type Report struct {
	// Backup: it is a backup, and all files are as they were when it was made.
	Backup            bool
	Format            int
	Generation        uint32
	Epoch             protocol.Epoch
	Users, Devices    int
	Messages, Expired int // Messages are those that wait and have not expired
	Segments, Records int // of the journal, from the first that is needed
	// Ended: the last process stopped in order.
	Ended bool
	// Notes are what the journal left out, and would at a start.
	Notes []string

	first, last uint64 // segments of the journal
}

// Verify reads all of the store or backup in dir, which no process may have open, and changes nothing. The error says what is
// wrong, each thing on a line.
func Verify(dir string) (Report, error) {
	cfg := Default()
	cfg.Dir = dir
	cfg.fill()
	r, err := lockAndVerify(cfg)
	if err != nil {
		return r, fmt.Errorf("store/pebble: verify %s: %w", dir, err)
	}
	return r, nil
}

func lockAndVerify(cfg Config) (Report, error) {
	l, err := list(vfs.Default, cfg.Dir)
	if err != nil {
		return Report{}, err
	}
	switch {
	case l.has[backupName]: // it may be on a disk that cannot be written
	case l.has[lockName]:
		lock, err := lockDir(vfs.Default, cfg.Dir)
		if err != nil {
			return Report{}, err
		}
		defer lock.close()
	default:
		self, err := lockSelf(cfg.Dir)
		if err != nil {
			return Report{}, lockError(err)
		}
		if self != nil {
			defer self.Close()
		}
	}
	return verify(cfg)
}

// readFS keeps a look from changing anything: it locks nothing.
type readFS struct{ vfs.FS }

func (readFS) Lock(string) (io.Closer, error) { return io.NopCloser(strings.NewReader("")), nil }

func verify(cfg Config) (r Report, err error) {
	l, err := list(vfs.Default, cfg.Dir)
	if err != nil {
		return r, err
	}
	if l.has[creatingName] {
		return r, errors.New("the creation of the store was interrupted: it is empty, and the next start creates it again")
	}
	if len(l.data()) == 0 {
		return r, errors.New("it has no store")
	}
	if l.has[backupName] {
		m, err := readManifest(vfs.Default, cfg.Dir)
		if err == nil {
			err = m.check(vfs.Default, cfg.Dir, &l)
		}
		if err != nil {
			return r, err
		}
		r.Backup = true
	}
	if missing := l.missing(); len(missing) > 0 {
		return r, fmt.Errorf("it has data (%s), and lacks %s", some(l.data()), strings.Join(missing, " and "))
	}
	s, err := openToRead(cfg)
	if err != nil {
		return r, err
	}
	err = s.verify(&r)
	return r, errors.Join(err, s.db.Close())
}

// openToRead opens the tables alone.
func openToRead(cfg Config) (*Store, error) {
	quiet := slog.New(slog.DiscardHandler)
	db, err := engine.Open(cfg.Dir, &engine.Options{
		FS: readFS{vfs.Default}, ReadOnly: true, ErrorIfNotExists: true, Logger: engineLog{log: quiet, exit: cfg.Exit},
		EventListener: &engine.EventListener{DataCorruption: func(engine.DataCorruptionInfo) {}}, // else it ends the process
	})
	if err != nil {
		return nil, fmt.Errorf("open the tables: %w", err)
	}
	return &Store{cfg: cfg, db: db, overlay: newOverlay(), log: quiet, opened: cfg.Now()}, nil
}

// verify reads everything. It goes on where it can, so that all is told at once.
func (s *Store) verify(r *Report) error {
	v, err := get(s.db, keyFormat)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return errors.New("the tables are not a RAMEN store's, or its creation was interrupted")
	case err != nil:
		return fmt.Errorf("read format: %w", err)
	case len(v) != 1 || v[0] < oldestFormat || v[0] > formatVersion:
		return fmt.Errorf("it has format %x, but this program reads formats %02x to %02x", v, oldestFormat, formatVersion)
	}
	s.format = v[0]
	if err := errors.Join(s.readIdentity(), s.epochs.load(s.db), s.readRenewed()); err != nil {
		return err
	}
	if r.first, err = s.journalStart(); err != nil {
		return err
	}
	found, err := journal.Inspect(journal.Config{
		FS: vfs.Default, Dir: s.cfg.Dir, Secret: s.secret, Lenient: s.format < sizedFormat,
		Warn: func(n journal.Note) { r.Notes = append(r.Notes, n.String()) },
	}, r.first, s.replayRecord)
	s.epochs.replay(s.overlay.claims)
	r.Segments, r.Records, r.Ended, r.last = found.Segments, found.Records, found.Ended, found.Last
	r.Format, r.Generation, r.Epoch = int(s.format), s.identity.Generation, s.epochs.highest()
	if levels := s.db.CheckLevels(nil); levels != nil {
		err = errors.Join(err, fmt.Errorf("the tables: %w", levels))
	}
	return errors.Join(err, s.countRows(r))
}

// countRows reads every row, and what the journal has instead.
func (s *Store) countRows(r *Report) error {
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	c := counter{s: s, r: r, now: s.nowMS(), seen: make(map[*overlayMailbox]bool)}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var value []byte
		if value, err = it.ValueAndErr(); err == nil {
			err = c.row(it.Key(), value)
		}
		if err != nil {
			err = fmt.Errorf("key %x: %w", it.Key(), err)
		}
	}
	if err = errors.Join(err, it.Error(), it.Close()); err != nil {
		return err
	}
	return c.countOverlay()
}

type counter struct {
	s    *Store
	r    *Report
	now  int64
	user string // of the last row: shard and name
	box  *overlayMailbox
	seen map[*overlayMailbox]bool
}

func (c *counter) row(key, value []byte) error {
	switch key[0] {
	case spaceMeta, spaceEpoch:
		return nil
	case spaceID:
		_, err := readIDs(value, c.now, nil)
		return err
	}
	row, err := parseUserRow(key)
	if err != nil {
		return err
	}
	mailbox := string(key[:1+shardSize+len(row.user)])
	fresh := mailbox != c.user
	if fresh {
		c.user = mailbox
		shard := protocol.ShardID(uint32(key[1])<<24 | uint32(key[2])<<16 | uint32(key[3])<<8 | uint32(key[4]))
		c.box = c.s.overlay.shards[shard][string(row.user)]
		if c.box == nil {
			c.r.Users++
		}
	}
	if c.box != nil && c.box.hides(&row) {
		return nil
	}
	if c.box != nil && !c.seen[c.box] {
		c.seen[c.box] = true
		c.r.Users++
	}
	if row.kind == kindDevice {
		_, err = codec.DecodeDevice(row.device, value)
		c.r.Devices++
		return err
	}
	return c.message(row.ref, value)
}

func (c *counter) message(ref store.Ref, value []byte) error {
	e, err := codec.DecodeEntry(ref, value)
	if err != nil {
		return err
	}
	if e.Message.ExpiresMS <= c.now {
		c.r.Expired++
	} else {
		c.r.Messages++
	}
	return nil
}

// countOverlay counts what the journal has.
func (c *counter) countOverlay() error {
	for _, users := range c.s.overlay.shards {
		for _, b := range users {
			has := false
			for i := range b.devices {
				if d := &b.devices[i]; !d.removed() {
					has = true
					c.r.Devices++
					if _, err := codec.DecodeDevice([]byte(d.id), d.value); err != nil {
						return fmt.Errorf("device %q of user %q in the journal: %w", d.id, b.user, err)
					}
				}
			}
			for _, e := range b.entries[b.first:] {
				has = true
				if err := c.message(e.ref, e.value); err != nil {
					return fmt.Errorf("message of user %q in the journal: %w", b.user, err)
				}
			}
			if has && !c.seen[b] {
				c.r.Users++
			}
		}
	}
	return nil
}
