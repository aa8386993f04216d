package pebble

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A directory is one of three: empty, and made a store; a store, with all that names it; or refused. Files of ours in it:
//
//	MANIFEST-* OPTIONS-* *.sst *.blob *.log    the engine's
//	marker.*                                   what names them: which manifest counts, and the engine's format
//	journal-*                                  the journal's
//	LOCK control.sock                          a running process's
//	CREATING                                   the store is being made, and nobody was told of it yet
//	BACKUP                                     it is a backup, with a list of its files (manifest.go)
//	RESTORED                                   it was one: cursors handed out since must not count
//	backup.tmp damaged-*                       a backup that was cut off; what a repair put aside
const (
	creatingName   = "CREATING"
	restoredName   = "RESTORED"
	scratchName    = "backup.tmp"
	damagedPrefix  = "damaged-"
	lockName       = "LOCK"
	socketName     = "control.sock"
	manifestMarker = markerPrefix + "manifest."
	formatMarker   = markerPrefix + "format-version."
)

// markerText is in files whose names alone count: what is empty, some tools leave out.
const markerText = "The name of this file says what it is for. It is not empty because some tools leave out empty files.\n"

// listing is the files of a directory by what they are.
type listing struct {
	engine, tables, markers, journal []string
	foreign                          []string
	has                              map[string]bool
}

func list(fs vfs.FS, dir string) (l listing, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return l, fmt.Errorf("list the directory: %w", err)
	}
	slices.Sort(names)
	l.has = make(map[string]bool, len(names))
	for _, name := range names {
		l.has[name] = true
		switch ext := filepath.Ext(name); {
		case strings.HasPrefix(name, markerPrefix):
			l.markers = append(l.markers, name)
		case strings.HasPrefix(name, "journal-"):
			l.journal = append(l.journal, name)
		case ext == ".sst", ext == ".blob":
			l.tables = append(l.tables, name)
		case strings.HasPrefix(name, "MANIFEST-"), strings.HasPrefix(name, "OPTIONS-"), name == "CURRENT", ext == ".log", ext == ".dbtmp":
			l.engine = append(l.engine, name)
		case slices.Contains([]string{lockName, socketName, creatingName, backupName, restoredName, scratchName, "lost+found"}, name),
			strings.HasPrefix(name, damagedPrefix), strings.HasPrefix(name, "."):
		default:
			l.foreign = append(l.foreign, name)
		}
	}
	return l, nil
}

func (l *listing) marked(prefix string) bool {
	return slices.ContainsFunc(l.markers, func(name string) bool { return strings.HasPrefix(name, prefix) })
}

// missing is which markers are missing of a directory that has data.
func (l *listing) missing() (names []string) {
	for _, prefix := range []string{manifestMarker, formatMarker} {
		if !l.marked(prefix) {
			names = append(names, prefix+"*")
		}
	}
	return names
}

func (l *listing) data() []string { return slices.Concat(l.engine, l.tables, l.journal, l.markers) }

// prepareDir answers whether the engine is to be made: in an empty directory, or in one in which that was cut off.
func (s *Store) prepareDir() (fresh bool, err error) {
	fs, dir := s.cfg.fs(), s.cfg.Dir
	l, err := list(fs, dir)
	if err != nil {
		return false, err
	}
	if l.has[scratchName] {
		if err := fs.RemoveAll(fs.PathJoin(dir, scratchName)); err != nil {
			return false, fmt.Errorf("remove the rest of an unfinished backup: %w", err)
		}
	}
	if err := s.takeBackup(&l); err != nil {
		return false, err
	}
	switch s.creating = l.has[creatingName]; {
	case s.creating && l.marked(manifestMarker):
		return false, nil
	case s.creating:
		return true, s.clearHalfMade(&l)
	}
	if err := l.complete(dir); err != nil {
		return false, err
	}
	if len(l.data()) == 0 {
		return true, s.beginCreating()
	}
	return false, nil
}

// complete refuses what is neither a store nor a place for one. One that is being made is no matter of it.
func (l *listing) complete(dir string) error {
	data := l.data()
	if len(data) == 0 && len(l.foreign) > 0 {
		return fmt.Errorf("the directory has %s, but no store: use the store's directory, or an empty one", some(l.foreign))
	}
	if missing := l.missing(); len(data) > 0 && len(missing) > 0 {
		return fmt.Errorf("the directory has data (%s), and lacks %s, without which the data cannot be read: "+
			"restore a backup, or save what can be read: ramen store verify --repair %s", some(data), strings.Join(missing, " and "), dir)
	}
	return nil
}

// some names the first of many.
func some(names []string) string {
	const most = 4
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func (s *Store) beginCreating() error {
	s.creating = true
	return writeSynced(s.cfg.fs(), s.cfg.Dir, creatingName, []byte("A store is being made in this directory, and has nothing in it yet.\n"))
}

// clearHalfMade removes what is left of the making of a store that was cut off. A table, or a journal with a record, is not of
// that.
func (s *Store) clearHalfMade(l *listing) error {
	fs, dir := s.cfg.fs(), s.cfg.Dir
	if len(l.tables) > 0 {
		return fmt.Errorf("the directory has %s, but the file %s says that its creation was interrupted before there could be any: move %s away",
			some(l.tables), creatingName, creatingName)
	}
	if err := s.journalIsBlank(l); err != nil {
		return err
	}
	for _, name := range l.data() {
		if err := fs.Remove(fs.PathJoin(dir, name)); err != nil {
			return fmt.Errorf("remove the rest of an unfinished store: %w", err)
		}
	}
	return syncDir(fs, dir)
}

// blankHead is how much of a segment its head may take.
const blankHead = 64

// journalIsBlank refuses segments with more than a head: they are of a store that is not here any more.
func (s *Store) journalIsBlank(l *listing) error {
	fs := s.cfg.fs()
	buf := make([]byte, miB)
	for _, name := range l.journal {
		f, err := fs.Open(fs.PathJoin(s.cfg.Dir, name))
		if err != nil {
			return err
		}
		for at := int64(0); err == nil; {
			var n int
			n, err = f.ReadAt(buf, at)
			for i, x := range buf[:n] {
				if x != 0 && at+int64(i) >= blankHead {
					_ = f.Close()
					return fmt.Errorf("the directory has no store, but %s has records of one: restore a backup of the whole directory, or move the file away", name)
				}
			}
			at += int64(n)
		}
		_ = f.Close()
		if !errors.Is(err, io.EOF) {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}

// removeMarkers removes the files that say that a creation or a restore is under way, once it is done.
func (s *Store) removeMarkers() error {
	fs, dir := s.cfg.fs(), s.cfg.Dir
	l, err := list(fs, dir)
	if err != nil {
		return err
	}
	changed := false
	for _, name := range []string{creatingName, restoredName} {
		if !l.has[name] {
			continue
		}
		changed = true
		if err := fs.Remove(fs.PathJoin(dir, name)); err != nil {
			return err
		}
	}
	s.fillMarkers(&l)
	if !changed {
		return nil
	}
	return syncDir(fs, dir)
}

// fillMarkers gives markers of older releases some content. Where it fails they count all the same.
func (s *Store) fillMarkers(l *listing) {
	fs := s.cfg.fs()
	for _, name := range l.markers {
		path := fs.PathJoin(s.cfg.Dir, name)
		info, err := fs.Stat(path)
		if err != nil || info.Size() > 0 {
			continue
		}
		if f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified); err == nil {
			_, _ = f.WriteAt([]byte(markerText), 0)
			_ = f.Close()
		}
	}
}

// writeSynced makes a file whose name and content are on the disk when it returns.
func writeSynced(fs vfs.FS, dir, name string, content []byte) error {
	f, err := fs.Create(fs.PathJoin(dir, name), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return syncDir(fs, dir)
}
