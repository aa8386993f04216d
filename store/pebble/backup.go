package pebble

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
	"ramen/store"
	"ramen/store/pebble/journal"
)

// ErrBackupUnderWay is the answer to a second backup at one time.
var ErrBackupUnderWay = errors.New("store/pebble: another backup is under way")

// Dir implements store.Backuper.
func (s *Store) Dir() string { return s.cfg.Dir }

// Backup implements store.Backuper. dir is on a file system of the operating system's. The copy is whole once Backup returns nil;
// what it leaves otherwise has no file BACKUP. Calls go on meanwhile; checkpoints wait for its first part, which links files and
// copies little.
func (s *Store) Backup(ctx context.Context, dir string) (store.Backup, error) {
	b, err := s.backup(ctx, dir)
	if err != nil {
		return b, fmt.Errorf("store/pebble: back up %s to %s: %w", s.cfg.Dir, dir, err)
	}
	return b, nil
}

func (s *Store) backup(ctx context.Context, dir string) (store.Backup, error) {
	if !s.backups.TryLock() {
		return store.Backup{}, ErrBackupUnderWay
	}
	defer s.backups.Unlock()
	if err := makeTarget(s.cfg.Dir, dir); err != nil {
		return store.Backup{}, err
	}
	fs := s.cfg.fs()
	scratch := fs.PathJoin(s.cfg.Dir, scratchName)
	if err := fs.RemoveAll(scratch); err != nil {
		return store.Backup{}, err
	}
	defer func() { _ = fs.RemoveAll(scratch) }() // else the next Open does
	if err := s.snapshot(ctx, scratch); err != nil {
		return store.Backup{}, err
	}
	names, err := fs.List(scratch)
	if err != nil {
		return store.Backup{}, err
	}
	spare := uint64(0)
	if sameDisk(s.cfg.Dir, dir) {
		spare = s.diskSpace.floors[protocol.PriorityLow.Lane()] // the backup is not to have publishes refused
	}
	if err := hasRoom(fs, scratch, names, dir, spare); err != nil {
		return store.Backup{}, err
	}
	return copyBackup(ctx, fs, scratch, names, dir, manifestNow(s.cfg))
}

// snapshot puts into scratch what a kill at this moment would leave.
func (s *Store) snapshot(ctx context.Context, scratch string) error {
	if err := s.reads.begin(ctx); err != nil { // Close waits for it
		return err
	}
	defer s.reads.end()
	s.checkpointer.running.Lock()
	defer s.checkpointer.running.Unlock()
	defer s.checkpointer.wake() // it may have been waited for
	if err := s.checkpointAll(); err != nil {
		return err
	}
	if err := s.diskSpace.admitJournal(s.journal.Bytes()); err != nil { // at most
		return err
	}
	if err := s.db.Checkpoint(scratch); err != nil {
		return fmt.Errorf("link the tables: %w", err)
	}
	if err := s.checkpointer.barrier(); err != nil { // what is saved lazily
		return err
	}
	if _, err := s.journal.Copy(scratch); err != nil {
		return fmt.Errorf("copy the journal: %w", err)
	}
	return syncDir(s.cfg.fs(), scratch)
}

// checkpointAll brings what the journal has into the tables, so that little of it is to be copied. Where there is no room for
// that, there is more to copy.
func (s *Store) checkpointAll() error {
	k := s.checkpointer
	err := s.journal.Prepare(nil)
	if s.journalSpace.prepared(err); err != nil && !errors.Is(err, journal.ErrBehind) && !errors.Is(err, journal.ErrNoRoom) {
		return err
	}
	s.commits.rotate.Store(true)
	if err := k.barrier(); err != nil {
		return err
	}
	if number, _ := s.journal.Oldest(); number > 0 {
		last := s.journal.Current() - 1
		if err := s.checkpoint(last, k.barrier, k.pause); err != nil {
			return err
		}
		s.journal.Release(last)
	}
	return nil
}

// makeTarget makes the directory of a backup; one with something in it is refused.
func makeTarget(data, dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("%s is not an absolute path", dir)
	}
	if abs, err := filepath.Abs(data); err == nil {
		if inside, err := filepath.Rel(abs, dir); err == nil && inside != ".." && !strings.HasPrefix(inside, "../") {
			return errors.New("the backup would be inside the store's directory: use another one")
		}
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("it is not empty: it has %s; use a directory that is empty or does not exist", entries[0].Name())
	}
	return err
}

// hasRoom answers whether dir has room for files, and spare bytes.
func hasRoom(fs vfs.FS, from string, names []string, dir string, spare uint64) error {
	need := spare
	for _, name := range names {
		info, err := fs.Stat(fs.PathJoin(from, name))
		if err != nil {
			return err
		}
		need += uint64(info.Size())
	}
	usage, err := vfs.Default.GetDiskUsage(dir)
	if err == nil && usage.AvailBytes < need {
		return fmt.Errorf("the backup needs %[2]d MiB, and %[1]d MiB are free", usage.AvailBytes/miB, (need+miB-1)/miB)
	}
	return nil // where the file system does not say, it is tried
}

// manifestNow is an empty list of this moment.
func manifestNow(cfg Config) manifest { return newManifest(nil, cfg.Now()) }

// copyBackup copies files from one directory to another, and lists them there once they are on the disk.
func copyBackup(ctx context.Context, fs vfs.FS, from string, names []string, dir string, m manifest) (b store.Backup, err error) {
	slices.Sort(names)
	for _, name := range names {
		if filepath.Ext(name) == ".log" {
			continue // the engine's own log, which is off
		}
		f, err := copyFile(ctx, fs, fs.PathJoin(from, name), filepath.Join(dir, name))
		if err != nil {
			return b, fmt.Errorf("copy %s: %w", name, err)
		}
		f.Name = name
		m.Files = append(m.Files, f)
		b.Files++
		b.Bytes += f.Bytes
	}
	if err := syncDir(vfs.Default, dir); err != nil {
		return b, err
	}
	if err := writeManifest(vfs.Default, dir, m); err != nil {
		return b, err
	}
	return b, syncDir(vfs.Default, filepath.Dir(dir))
}

// copyFile copies one file, and answers its size and sum. An empty one is a marker, whose name alone counts: it gets some content.
func copyFile(ctx context.Context, fs vfs.FS, from, to string) (f manifestFile, err error) {
	in, err := fs.Open(from)
	if err != nil {
		return f, err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	h := sha256.New()
	w := io.MultiWriter(out, h)
	f.Bytes, err = io.CopyBuffer(struct{ io.Writer }{w}, reader{ctx, in}, make([]byte, 256*kiB))
	if err == nil && f.Bytes == 0 {
		f.Bytes, err = io.Copy(w, strings.NewReader(markerText))
	}
	if err == nil {
		err = out.Sync()
	}
	f.SHA256 = hex.EncodeToString(h.Sum(nil))
	return f, err
}

// reader ends with its context.
type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r reader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// BackupStopped copies the store in data, which no process may have open, to dir, as Backup does.
func BackupStopped(ctx context.Context, data, dir string) (store.Backup, error) {
	b, err := backupStopped(ctx, data, dir)
	if err != nil {
		return b, fmt.Errorf("store/pebble: back up %s to %s: %w", data, dir, err)
	}
	return b, nil
}

func backupStopped(ctx context.Context, data, dir string) (store.Backup, error) {
	cfg := Default()
	cfg.Dir = data
	cfg.fill()
	l, err := list(vfs.Default, data)
	if err != nil {
		return store.Backup{}, err
	}
	if l.has[backupName] || l.has[restoredName] || len(l.data()) == 0 {
		return store.Backup{}, errors.New("it is not the directory of a store")
	}
	lock, err := lockDir(vfs.Default, data)
	if err != nil {
		return store.Backup{}, err
	}
	defer lock.close()
	report, err := verify(cfg)
	if err != nil {
		return store.Backup{}, fmt.Errorf("it is damaged: %w", err)
	}
	if l, err = list(vfs.Default, data); err != nil {
		return store.Backup{}, err
	}
	if err := makeTarget(data, dir); err != nil {
		return store.Backup{}, err
	}
	names := slices.Concat(l.engine, l.tables, l.markers)
	for _, name := range l.journal {
		if number, ok := journal.Number(name); ok && number >= report.first && number <= report.last {
			names = append(names, name)
		}
	}
	if err := hasRoom(vfs.Default, data, names, dir, 0); err != nil {
		return store.Backup{}, err
	}
	return copyBackup(ctx, vfs.Default, data, names, dir, manifestNow(cfg))
}
