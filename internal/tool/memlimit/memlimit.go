// Package memlimit says how much memory the process may use: by its cgroup, by the machine, by GOMEMLIMIT.
package memlimit

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// Limit is a bound and who has set it.
type Limit struct {
	Bytes  int64
	Source string // cgroup, machine or GOMEMLIMIT
}

// unlimited: cgroup v1 says so with the largest multiple of a page.
const unlimited = 1 << 60

// Read is the tightest limit. Bytes is 0 where nothing is known, as on systems other than Linux without GOMEMLIMIT.
func Read() Limit { return read(os.DirFS("/").(files), goLimit()) }

// goLimit is the limit that the user has set by GOMEMLIMIT; 0: none.
func goLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); os.Getenv("GOMEMLIMIT") != "" && limit < math.MaxInt64 {
		return limit
	}
	return 0
}

type files interface{ ReadFile(string) ([]byte, error) }

func read(fsys files, goLimit int64) Limit {
	best := Limit{}
	tighter := func(bytes int64, source string) {
		if bytes > 0 && bytes < unlimited && (best.Bytes == 0 || bytes < best.Bytes) {
			best = Limit{bytes, source}
		}
	}
	tighter(machine(fsys), "machine")
	tighter(cgroup(fsys), "cgroup")
	if goLimit > 0 { // it bounds Go's memory alone: what it leaves is for the rest
		tighter(goLimit, "GOMEMLIMIT")
	}
	return best
}

// machine is MemTotal.
func machine(fsys files) int64 {
	text, err := fsys.ReadFile("proc/meminfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// cgroup is the tightest limit of the process's memory cgroup and those above it, of version 2 and of version 1.
func cgroup(fsys files) (least int64) {
	text, err := fsys.ReadFile("proc/self/cgroup")
	if err != nil {
		return 0
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		parts := strings.SplitN(s.Text(), ":", 3) // hierarchy:controllers:path
		if len(parts) != 3 {
			continue
		}
		var found int64
		switch {
		case parts[1] == "":
			found = upwards(fsys, "sys/fs/cgroup", parts[2], "memory.max", "memory.high")
		case hasController(parts[1], "memory"):
			found = upwards(fsys, "sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes")
		}
		if found > 0 && (least == 0 || found < least) {
			least = found
		}
	}
	return least
}

func hasController(list, name string) bool {
	for c := range strings.SplitSeq(list, ",") {
		if c == name {
			return true
		}
	}
	return false
}

// upwards is the least value of the files in dir and above, up to the mount. In a container the path may be the host's, and then
// only the mount itself is there.
func upwards(fsys files, mount, dir string, names ...string) (least int64) {
	for dir = path.Clean("/" + dir); ; dir = path.Dir(dir) {
		for _, name := range names {
			text, err := fsys.ReadFile(filepath.Join(mount, dir, name))
			if err != nil {
				continue
			}
			n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64) // "max" is none
			if err == nil && n > 0 && n < unlimited && (least == 0 || n < least) {
				least = n
			}
		}
		if dir == "/" {
			return least
		}
	}
}
