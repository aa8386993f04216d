package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// Start starts cmd on these processors alone; none: wherever the system likes. A child has the processors of the thread
// that makes it, so this thread takes them for the moment.
func Start(cmd *exec.Cmd, processors []int) error {
	if len(processors) == 0 {
		return cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, bound unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("machine: read processors: %w", err)
	}
	for _, p := range processors {
		bound.Set(p)
	}
	if err := unix.SchedSetaffinity(0, &bound); err != nil {
		return fmt.Errorf("machine: bind to processors %v: %w", processors, err)
	}
	err := cmd.Start()
	_ = unix.SchedSetaffinity(0, &before) // it was so before
	return err
}

// Processors are those that this process may use.
func Processors() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var all []int
	for i := range 1024 {
		if set.IsSet(i) {
			all = append(all, i)
		}
	}
	return all
}

// Descriptors raises the limit of open files as far as it goes, and answers it.
func Descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	limit.Cur = limit.Max
	_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	return int(min(limit.Cur, 1<<30))
}

// InMemory reports whether a folder is in memory, where an fsync costs nothing.
func InMemory(dir string) bool {
	var fs unix.Statfs_t
	return unix.Statfs(dir, &fs) == nil && (int64(fs.Type) == unix.TMPFS_MAGIC || int64(fs.Type) == unix.RAMFS_MAGIC)
}

// OwnGroup keeps a terminal's Ctrl-C from the server, which we end ourselves; it ends with us in any case.
func OwnGroup() *unix.SysProcAttr {
	return &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGTERM}
}

// BindSelf has this process, and what it starts from now on, run on these processors alone.
func BindSelf(processors []int) error {
	var bound unix.CPUSet
	for _, p := range processors {
		bound.Set(p)
	}
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("machine: bind to processors %v: %w", processors, err)
	}
	for _, t := range threads {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(id, &bound); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("machine: bind to processors %v: %w", processors, err)
		}
	}
	return nil
}
