package pebble

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	engine "github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Check says why Open would refuse cfg's directory, as far as that can be seen without writing: nothing is made or changed, and the
// journal is not read. It answers ErrInUse where a process has it open.
func Check(cfg Config) error {
	if err := check(&cfg); err != nil {
		return fmt.Errorf("store/pebble: open %s: %w", cfg.Dir, err)
	}
	return nil
}

func check(cfg *Config) error {
	info, err := os.Stat(cfg.Dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return canBeMade(cfg.Dir)
	case err != nil:
		return err
	case !info.IsDir():
		return errors.New("it is a file: use a directory")
	}
	if err := access(cfg.Dir); err != nil {
		return fmt.Errorf("this user must be able to read and write the directory: %w", err)
	}
	var lock *dirLock
	if _, err = os.Stat(filepath.Join(cfg.Dir, lockName)); errors.Is(err, os.ErrNotExist) {
		lock = &dirLock{} // its file would have to be made
		if lock.self, err = lockSelf(cfg.Dir); err != nil {
			return lockError(err)
		}
	} else if lock, err = lockDir(vfs.Default, cfg.Dir); err != nil {
		return err
	}
	return errors.Join(checkLocked(cfg, lock.file), lock.close())
}

// checkLocked looks at what is in the directory, and reads it where it can be without a file being made.
func checkLocked(cfg *Config, lock *engine.Lock) error {
	l, err := list(vfs.Default, cfg.Dir)
	if err != nil {
		return err
	}
	if l.has[backupName] {
		m, err := readManifest(vfs.Default, cfg.Dir)
		if err == nil {
			err = m.check(vfs.Default, cfg.Dir, &l)
		}
		if err != nil {
			return err
		}
	}
	if l.has[creatingName] {
		return nil
	}
	if err := l.complete(cfg.Dir); err != nil || lock == nil || len(l.data()) == 0 {
		return err
	}
	return checkEngine(cfg, lock)
}

// canBeMade reports whether dir's parents can be.
func canBeMade(dir string) error {
	up, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for {
		up = filepath.Dir(up)
		info, err := os.Stat(up)
		if errors.Is(err, os.ErrNotExist) && up != filepath.Dir(up) {
			continue
		}
		if err != nil {
			return fmt.Errorf("make the directory: %w", err)
		}
		if !info.IsDir() {
			return fmt.Errorf("make the directory: %s is a file", up)
		}
		if err := access(up); err != nil {
			return fmt.Errorf("make the directory in %s, which this user must be able to write to: %w", up, err)
		}
		return nil
	}
}

// checkEngine reads what readState would refuse.
func checkEngine(cfg *Config, lock *engine.Lock) (err error) {
	db, err := engine.Open(cfg.Dir, &engine.Options{ReadOnly: true, Lock: lock, FormatMajorVersion: engine.FormatNewest, Logger: noLog{},
		EventListener: &engine.EventListener{DataCorruption: func(engine.DataCorruptionInfo) {}}}) // else it ends the process
	if errors.Is(err, engine.ErrDBDoesNotExist) {
		return nil // a new store
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s := &Store{cfg: *cfg, db: db}
	if _, err = get(db, keyFormat); errors.Is(err, engine.ErrNotFound) {
		return nil // one whose making was cut off
	}
	if err := errors.Join(err, s.readFormat(), s.readIdentity()); err != nil {
		return err
	}
	if _, err := get(db, keyShards); err != nil {
		return nil // none yet: it takes the configuration's
	}
	return s.readShards()
}

// noLog is the engine's log while it is only looked at.
type noLog struct{}

func (noLog) Infof(string, ...any)  {}
func (noLog) Errorf(string, ...any) {}
func (noLog) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("store/pebble: the engine cannot go on: "+format, args...))
}
