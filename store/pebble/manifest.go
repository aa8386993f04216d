package pebble

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/protocol"
)

// backupName is the list of a backup's files. It is written last, so that a backup without it is none.
const backupName = "BACKUP"

// listVersion is of the list.
const listVersion = 1

// manifest is the content of BACKUP.
type manifest struct {
	Version int            `json:"version"`
	Made    time.Time      `json:"made"`
	Files   []manifestFile `json:"files"`
}

type manifestFile struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func readManifest(fs vfs.FS, dir string) (m manifest, err error) {
	f, err := fs.Open(fs.PathJoin(dir, backupName))
	if err != nil {
		return m, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err == nil && (m.Version != listVersion || len(m.Files) == 0) {
		err = fmt.Errorf("version %d with %d files, this program reads version %d", m.Version, len(m.Files), listVersion)
	}
	if err != nil {
		return m, fmt.Errorf("%s cannot be read: %w", backupName, err)
	}
	return m, nil
}

func writeManifest(fs vfs.FS, dir string, m manifest) error {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return err
	}
	return writeSynced(fs, dir, backupName, append(b, '\n'))
}

// check compares the files of dir with the list. Files that a process or tool leaves beside them do not matter, but of a store
// there is to be no other.
func (m *manifest) check(fs vfs.FS, dir string, l *listing) error {
	var errs []error
	listed := make(map[string]bool, len(m.Files))
	for _, f := range m.Files {
		listed[f.Name] = true
		sum, n, err := sumFile(fs, fs.PathJoin(dir, f.Name))
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("%s: %w", f.Name, err))
		case n != f.Bytes:
			errs = append(errs, fmt.Errorf("%s has %d bytes, but had %d", f.Name, n, f.Bytes))
		case sum != f.SHA256:
			errs = append(errs, fmt.Errorf("%s has changed", f.Name))
		}
	}
	for _, name := range l.data() {
		if !listed[name] {
			errs = append(errs, fmt.Errorf("%s is not part of the backup: restore a backup to an empty directory", name))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("the backup of %s is incomplete: %w", m.Made.Format(time.RFC3339), errors.Join(errs...))
	}
	return nil
}

func sumFile(fs vfs.FS, path string) (sum string, n int64, err error) {
	f, err := fs.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), n, err
}

// takeBackup makes a store of a backup that was copied here. It is a backup no more, since its files change from here on.
func (s *Store) takeBackup(l *listing) error {
	s.renewing = l.has[restoredName]
	if !l.has[backupName] {
		return nil
	}
	fs, dir := s.cfg.fs(), s.cfg.Dir
	m, err := readManifest(fs, dir)
	if err == nil {
		err = m.check(fs, dir, l)
	}
	if err == nil {
		err = fs.Rename(fs.PathJoin(dir, backupName), fs.PathJoin(dir, restoredName))
	}
	if err == nil {
		err = syncDir(fs, dir)
	}
	if err != nil {
		return fmt.Errorf("%w; copy it here again, and see: ramen store verify %s", err, dir)
	}
	s.renewing = true
	s.log.Info("store: a backup was restored; devices get all waiting messages, as if they had no cursor", "made", m.Made)
	return nil
}

// renewEpochs is how far the epoch goes up where nobody knows how far it was.
const renewEpochs = 1 << 20

// renew is for a store that was set back: restored from a backup, or without what a repair left out. Since then epochs and
// positions were given that may be given again. So no cursor and stream that is out counts any more (SPEC 2.4.2, 2.4.4: the devices
// are not resumed, and miss nothing), and the epoch goes beyond all that may have been.
func (s *Store) renew() error {
	generation := make([]byte, 4)
	for rand.Read(generation); bytes.Equal(generation, binary.BigEndian.AppendUint32(nil, s.identity.Generation)); { // never fails
		rand.Read(generation)
	}
	floor := s.epochs.highest() + renewEpochs
	b := s.db.NewBatch()
	defer b.Close()
	_ = b.Set(keyGeneration, generation, nil) // a batch in memory does not fail
	_ = b.Set(keyFloor, binary.BigEndian.AppendUint64(nil, uint64(floor)), nil)
	if err := errors.Join(b.Commit(engine.NoSync), s.db.Flush()); err != nil {
		return fmt.Errorf("write another generation: %w", err)
	}
	s.identity.Generation = binary.BigEndian.Uint32(generation)
	s.epochs.raise(floor)
	return nil
}

// readRenewed reads what renew and Adopt wrote.
func (s *Store) readRenewed() error {
	for _, row := range []struct {
		key  []byte
		size int
		use  func([]byte)
	}{
		{keyGeneration, 4, func(v []byte) { s.identity.Generation = binary.BigEndian.Uint32(v) }},
		{keyCursorKey, len(s.identity.Key), func(v []byte) { s.identity.Key = [16]byte(v) }},
		{keyFloor, 8, func(v []byte) { s.epochs.raise(protocol.Epoch(binary.BigEndian.Uint64(v))) }},
	} {
		v, err := get(s.db, row.key)
		switch {
		case errors.Is(err, engine.ErrNotFound):
			continue
		case err == nil && len(v) != row.size:
			err = fmt.Errorf("%d bytes, not %d", len(v), row.size)
		}
		if err != nil {
			return fmt.Errorf("read row %s: %w", row.key, err)
		}
		row.use(v)
	}
	return nil
}

// newManifest lists files as they were written.
func newManifest(files []manifestFile, now time.Time) manifest {
	slices.SortFunc(files, func(a, b manifestFile) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return manifest{Version: listVersion, Made: now.UTC().Truncate(time.Second), Files: files}
}
