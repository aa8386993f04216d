package testdisk

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// size is that of the disk, in bytes. Its file takes what is written.
	size = 2 << 30
	// shutdown is FS_IOC_SHUTDOWN, and noLogFlush its FS_SHUTDOWN_FLAGS_NOLOGFLUSH: linux/fs.h.
	shutdown   = 0x8004587d
	noLogFlush = 2
	dirPrefix  = "ramen-testdisk-"
)

// Disk is a file system that can lose its power.
type Disk struct {
	Dir string // where it is mounted

	home    string // the folder that has the image and Dir
	lock    *os.File
	mounted bool
}

// New makes an empty disk, which is there until the end of the test.
func New(t TB) *Disk {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skipf("skipped: a disk that loses its power takes root")
	}
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: a disk that loses its power takes %s", tool)
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("skipped: a disk that loses its power takes loop devices: %v", err)
	}
	removeLeft()
	home, err := os.MkdirTemp("", dirPrefix)
	if err != nil {
		t.Fatalf("testdisk: make a disk: %v", err)
	}
	d := &Disk{Dir: filepath.Join(home, "mnt"), home: home}
	t.Cleanup(func() {
		if err := d.close(); err != nil {
			t.Errorf("testdisk: remove a disk: %v", err)
		}
	})
	if err := d.prepare(); err != nil {
		t.Fatalf("testdisk: make a disk: %v", err)
	}
	if err := d.mount(); err != nil {
		t.Skipf("skipped: a disk that loses its power cannot be mounted here: %v", err)
	}
	return d
}

// prepare makes the file system.
func (d *Disk) prepare() (err error) {
	if err = os.Mkdir(d.Dir, 0o700); err != nil {
		return err
	}
	if d.lock, err = os.Create(filepath.Join(d.home, "lock")); err != nil {
		return err
	}
	if err = syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	image, err := os.Create(d.image())
	if err != nil {
		return err
	}
	defer image.Close()
	if err = image.Truncate(size); err != nil {
		return err
	}
	return run("mkfs.ext4", "-q", "-F", d.image())
}

func (d *Disk) image() string { return filepath.Join(d.home, "image") }

// mount mounts the disk. Its journal is committed by fsync, and else once in ten minutes.
func (d *Disk) mount() error {
	err := run("mount", "-o", "loop,commit=600", d.image(), d.Dir)
	d.mounted = err == nil
	return err
}

func (d *Disk) unmount() error {
	if !d.mounted {
		return nil
	}
	err := run("umount", d.Dir)
	d.mounted = err != nil
	return err
}

// Cut ends the disk's power. Who still has a file open there gets errors; to Restore it, all have to have ended.
func (d *Disk) Cut(t TB) {
	t.Helper()
	dir, err := os.Open(d.Dir)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(dir.Fd()), shutdown, noLogFlush)
		_ = dir.Close()
	}
	if err != nil {
		t.Fatalf("testdisk: cut the power: %v", err)
	}
}

// Restore brings the disk back, with what was synced before Cut.
func (d *Disk) Restore(t TB) {
	t.Helper()
	err := d.unmount()
	if err == nil {
		err = d.mount()
	}
	if err != nil {
		t.Fatalf("testdisk: restore the power: %v", err)
	}
}

func (d *Disk) close() error {
	if err := d.unmount(); err != nil {
		return err
	}
	err := os.RemoveAll(d.home)
	if d.lock != nil {
		_ = d.lock.Close()
	}
	return err
}

// removeLeft removes the disks whose processes are gone.
func removeLeft() {
	locks, _ := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*", "lock"))
	for _, path := range locks {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			home := filepath.Dir(path)
			_ = run("umount", filepath.Join(home, "mnt"))
			_ = os.RemoveAll(home)
		}
		_ = f.Close()
	}
}

func run(name string, args ...string) error {
	if said, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(said)))
	}
	return nil
}
