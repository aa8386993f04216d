package datasync

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	fiFreeze = 0xC0045877 // FIFREEZE of linux/fs.h
	fiThaw   = 0xC0045878 // FITHAW
)

// frozenDisk is a folder on a small file system of its own, and the descriptor to freeze it by.
func frozenDisk(t *testing.T) (dir string, fd int) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root makes and freezes file systems")
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(image, 16<<20); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, dir}} {
		if out, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Skipf("no file system can be made here: %s: %v: %s", c[0], err, out)
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return dir, fd
}

// thaw thaws dir for good in half a minute, whatever this process can do then.
func thaw(t *testing.T, dir string) {
	t.Helper()
	c := exec.Command("sh", "-c", "sleep 30; exec fsfreeze -u "+dir)
	c.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = unix.Kill(-c.Process.Pid, unix.SIGKILL)
		_ = c.Wait()
	})
}

// waitsInKernel reports a thread of ours that does, and cannot be interrupted.
func waitsInKernel() bool {
	states, _ := filepath.Glob("/proc/self/task/*/stat")
	for _, name := range states {
		b, _ := os.ReadFile(name) // it may have ended
		if _, state, _ := strings.Cut(string(b), ") "); strings.HasPrefix(state, "D") {
			return true
		}
	}
	return false
}

// TestFrozenFileSystemHoldsUpNobody: a snapshot freezes the file system for seconds. Who writes waits, even on the only
// processor; the collector and all others go on.
func TestFrozenFileSystemHoldsUpNobody(t *testing.T) {
	dir, fd := frozenDisk(t)
	s := newSyncer(t)
	f, err := os.Create(filepath.Join(dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 4*Block)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	direct, err := OpenDirect(f.Fd())
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(direct)
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	b := aligned(Block, 7)
	if err := s.Write(uintptr(direct), b, 0); err != nil {
		t.Skip(err)
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	thaw(t, dir)
	if err := unix.IoctlSetInt(fd, fiFreeze, 0); err != nil {
		t.Skip("it cannot be frozen: ", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Write(uintptr(direct), b, Block) }()
	for !waitsInKernel() && len(ended) == 0 {
		runtime.Gosched()
	}
	runtime.GC()
	held := len(ended) > 0
	if err := unix.IoctlSetInt(fd, fiThaw, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		t.Error(fmt.Errorf("thaw: %w", err))
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if held {
		t.Error("nothing else went on until the file system was thawed")
	}
}
