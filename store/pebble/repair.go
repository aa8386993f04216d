package pebble

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"ramen/store/pebble/journal"
)

// Repaired is what Repair did, a line each.
type Repaired struct {
	Did  []string // all that was done; none: there was nothing to do
	Lost []string // what could not be saved
	Copy string   // where the files lie as they were; empty: nothing was changed
}

// Repair makes the store in dir one that opens: it gives it the markers that it has lost, where other files say what they were,
// puts segments of the journal back under their names, and goes on behind records that cannot be read. What it changes it copies
// aside before. Damaged tables it cannot mend: the error says so.
func Repair(dir string, log *slog.Logger) (Repaired, error) {
	cfg := Default()
	cfg.Dir = dir
	cfg.fill()
	r := Repaired{}
	err := r.repair(cfg, log)
	if err != nil {
		return r, fmt.Errorf("store/pebble: repair %s: %w", dir, err)
	}
	return r, nil
}

func (r *Repaired) repair(cfg Config, log *slog.Logger) error {
	l, err := list(vfs.Default, cfg.Dir)
	if err != nil {
		return err
	}
	if l.has[backupName] {
		return errors.New("it is a backup: copy it to the data folder, and repair the copy if needed")
	}
	lock, err := lockDir(vfs.Default, cfg.Dir)
	if err != nil {
		return err
	}
	err = r.prepare(cfg, &l)
	if err = errors.Join(err, lock.close()); err != nil || r.Copy == "" {
		return err
	}
	cfg.salvage = func(n journal.Note) {
		if n.Lost {
			r.Lost = append(r.Lost, n.String())
		} else {
			r.Did = append(r.Did, n.String())
		}
	}
	s, err := Open(cfg, log, nil)
	if err != nil {
		return err
	}
	return s.Close()
}

// prepare does what is to be done before the store can be opened.
func (r *Repaired) prepare(cfg Config, l *listing) (err error) {
	_, wrong := verify(cfg)
	if wrong == nil || len(l.data()) == 0 || l.has[creatingName] {
		return nil // the next start sees to the rest
	}
	markers, err := lostMarkers(cfg.Dir, l)
	if err != nil {
		return err
	}
	if err := r.copyAside(cfg, l); err != nil {
		return err
	}
	defer func() {
		if err != nil { // what was derived may be wrong: another try must not take it for what was there
			err = errors.Join(err, removeFiles(cfg.Dir, markers))
		}
	}()
	for _, name := range markers {
		if err := writeSynced(vfs.Default, cfg.Dir, name, []byte(markerText)); err != nil {
			return err
		}
		r.Did = append(r.Did, "restored "+name+" from other files")
	}
	var tables []string
	if len(markers) > 0 {
		tables = l.tables
	}
	return r.renameSegments(cfg, tables)
}

func removeFiles(dir string, names []string) error {
	var errs []error
	for _, name := range names {
		if err := vfs.Default.Remove(vfs.Default.PathJoin(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, syncDir(vfs.Default, dir))...)
}

// copyAside copies what a repair may change: the journal and small files. Tables, which the engine may drop once it is open, are linked.
func (r *Repaired) copyAside(cfg Config, l *listing) error {
	aside, err := makeAside(vfs.Default.PathJoin(cfg.Dir, damagedPrefix+cfg.Now().UTC().Format("20060102-150405")))
	if err != nil {
		return err
	}
	for _, name := range slices.Concat(l.journal, l.engine, l.markers, l.tables) {
		if slices.Contains(l.tables, name) && vfs.Default.Link(vfs.Default.PathJoin(cfg.Dir, name), vfs.Default.PathJoin(aside, name)) == nil {
			continue // tables are never written to
		}
		in, err := vfs.Default.Open(vfs.Default.PathJoin(cfg.Dir, name))
		if err != nil {
			return err
		}
		out, err := vfs.Default.Create(vfs.Default.PathJoin(aside, name), vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = io.Copy(out, in)
			err = errors.Join(err, out.Sync(), out.Close())
		}
		if err = errors.Join(err, in.Close()); err != nil {
			return fmt.Errorf("copy %s aside: %w", name, err)
		}
	}
	r.Copy = aside
	return errors.Join(syncDir(vfs.Default, aside), syncDir(vfs.Default, cfg.Dir))
}

// makeAside makes a directory that was not there: an earlier repair's copy is not written over.
func makeAside(name string) (string, error) {
	for n := 1; ; n++ {
		aside := name
		if n > 1 {
			aside = fmt.Sprintf("%s-%d", name, n)
		}
		err := os.Mkdir(aside, 0o750)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return aside, err
		}
	}
}

var formatOption = regexp.MustCompile(`(?m)^\s*format_major_version=(\d{1,3})\s*$`)

// lostMarkers is the markers that are missing, where there is no doubt what they were. The engine makes a file of options once its
// marker names the manifest that it has begun: the newest manifest counts if it is the only one, or has such a file behind it.
// The engine's format stands in each such file.
func lostMarkers(dir string, l *listing) (names []string, err error) {
	manifest, manifests, options, formats := 0, 0, 0, map[string]bool{}
	for _, name := range l.engine {
		if n, ok := fileNumber(name, "MANIFEST-"); ok {
			manifest, manifests = max(manifest, n), manifests+1
		}
		n, ok := fileNumber(name, "OPTIONS-")
		if !ok {
			continue
		}
		options = max(options, n)
		b, err := readWhole(vfs.Default.PathJoin(dir, name))
		if err != nil {
			return nil, err
		}
		if m := formatOption.FindSubmatch(b); m != nil {
			formats[string(m[1])] = true
		}
	}
	if !l.marked(manifestMarker) {
		if manifests == 0 || manifests > 1 && options < manifest {
			return nil, fmt.Errorf("%s* is missing, and there are %d MANIFEST files, any of which may be the current one: restore a backup", manifestMarker, manifests)
		}
		names = append(names, fmt.Sprintf("%s000001.MANIFEST-%06d", manifestMarker, manifest))
	}
	if !l.marked(formatMarker) {
		if len(formats) != 1 {
			return nil, fmt.Errorf("%s* is missing, and the OPTIONS files name %d formats, not one: restore a backup", formatMarker, len(formats))
		}
		for format := range formats {
			names = append(names, fmt.Sprintf("%s000001.%03s", formatMarker, format))
		}
	}
	return names, nil
}

func fileNumber(name, prefix string) (int, bool) {
	digits, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return n, err == nil
}

func readWhole(path string) ([]byte, error) {
	f, err := vfs.Default.Open(path)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(f)
	return b, errors.Join(err, f.Close())
}

// renameSegments puts segments of the journal back under their own names. Tables, where they are given, must all be named by the
// manifest: one that names not all of them may be older than the one that counted, and the engine would drop the others.
func (r *Repaired) renameSegments(cfg Config, tables []string) error {
	s, err := openToRead(cfg)
	if err != nil {
		return fmt.Errorf("%w: tables cannot be repaired; restore a backup", err)
	}
	err = namesAll(s.db, tables)
	var first uint64
	if err == nil {
		first, err = s.journalStart()
	}
	if err == nil {
		err = s.readIdentity()
	}
	if err = errors.Join(err, s.db.Close()); err != nil {
		return err
	}
	moved, err := journal.PutBack(journal.Config{FS: vfs.Default, Dir: cfg.Dir, Secret: s.secret}, first)
	r.Did = append(r.Did, moved...)
	return err
}

// namesAll reports which of the tables the opened engine knows nothing of.
func namesAll(db *engine.DB, tables []string) error {
	if len(tables) == 0 {
		return nil
	}
	levels, err := db.SSTables()
	if err != nil {
		return err
	}
	known := make(map[string]bool)
	for _, level := range levels {
		for _, t := range level {
			known[fmt.Sprintf("%06d.sst", uint64(t.FileNum))] = true
		}
	}
	for _, name := range tables {
		if !known[name] {
			return fmt.Errorf("the MANIFEST that seems to be current does not list the table %s, so it may be an old one: restore a backup, or put the missing files back", name)
		}
	}
	return nil
}
