package stats

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used, at one moment.
type Usage struct {
	At         time.Time     `json:"at"`
	CPU        time.Duration `json:"cpu"` // user and system time since its start
	Sys        time.Duration `json:"sys"` // of CPU, in the kernel; 0: not known
	RSS        int64         `json:"rss"` // bytes
	Files      int           `json:"files,omitempty"`
	Threads    int           `json:"threads,omitempty"`
	Goroutines int           `json:"goroutines,omitempty"` // from /metrics alone
	Heap       int64         `json:"heap,omitempty"`       // bytes in use, from /metrics alone
	Written    int64         `json:"written,omitempty"`    // bytes to the disk since its start
	Commits    int64         `json:"commits,omitempty"`    // durable group commits, an fsync each, from /metrics alone

	Each []Usage `json:"-"` // of each process, where this is the sum of several
}

// tick is a clock tick of /proc, 10 ms on every Linux.
const tick = 10 * time.Millisecond

// OfProcess reads what the process pid of this machine has used. Linux only.
func OfProcess(pid int) (Usage, error) {
	u := Usage{At: time.Now()}
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, fmt.Errorf("stats: read what process %d uses: %w", pid, err)
	}
	// The name, in brackets, may have anything in it.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 22 {
		return u, errors.New("stats: read " + dir + "/stat: too few fields")
	}
	number := func(i int) int64 { n, _ := strconv.ParseInt(fields[i], 10, 64); return n }
	u.CPU = time.Duration(number(11)+number(12)) * tick
	u.Sys = time.Duration(number(12)) * tick
	u.Threads = int(number(17))
	u.RSS = number(21) * int64(os.Getpagesize())
	if files, err := os.ReadDir(dir + "/fd"); err == nil {
		u.Files = len(files)
	}
	u.Written = written(dir)
	return u, nil
}

// OfProcesses is what several processes have used together. It fails where it cannot be told of one: a sum without that one would be
// taken for all.
func OfProcesses(pids []int) (Usage, error) {
	if len(pids) == 1 {
		return OfProcess(pids[0])
	}
	sum := Usage{At: time.Now()}
	for _, pid := range pids {
		u, err := OfProcess(pid)
		if err != nil {
			return sum, err
		}
		sum.CPU += u.CPU
		sum.Sys += u.Sys
		sum.RSS += u.RSS
		sum.Files += u.Files
		sum.Threads += u.Threads
		sum.Written += u.Written
		sum.Each = append(sum.Each, u)
	}
	return sum, nil
}

// written is 0 where the system does not say.
func written(dir string) int64 {
	io, err := os.ReadFile(dir + "/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(io)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}

// Busy is the CPU time that all processes of this machine have used since it started, and what its host kept from it though they
// wanted it; 0 where it is not told.
func Busy() (used, stolen time.Duration) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal
	if len(fields) < 9 {
		return 0, 0
	}
	sum := func(of ...int) (t time.Duration) {
		for _, i := range of {
			n, _ := strconv.ParseInt(fields[i], 10, 64)
			t += time.Duration(n) * tick
		}
		return t
	}
	return sum(1, 2, 3, 6, 7), sum(8)
}
