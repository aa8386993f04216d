package memlimit

import (
	"testing"
	"testing/fstest"
)

func TestFix17TightestLimitIsFound(t *testing.T) {
	const mib = 1 << 20
	files := func(pairs ...string) fstest.MapFS {
		m := fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal:       1048576 kB\nMemFree: 1 kB\n")}}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
		}
		return m
	}
	for _, c := range []struct {
		name    string
		fs      fstest.MapFS
		goLimit int64
		want    Limit
	}{
		{"machine", files(), 0, Limit{1024 * mib, "machine"}},
		{"nothing", fstest.MapFS{}, 0, Limit{}},
		{"v2", files("proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "268435456\n"), 0, Limit{256 * mib, "cgroup"}},
		{"v2 above", files("proc/self/cgroup", "0::/a/b\n", "sys/fs/cgroup/a/b/memory.max", "max\n", "sys/fs/cgroup/a/memory.max", "134217728\n"), 0, Limit{128 * mib, "cgroup"}},
		{"v2 high", files("proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/memory.max", "268435456\n", "sys/fs/cgroup/a/memory.high", "134217728\n"), 0, Limit{128 * mib, "cgroup"}},
		{"v2 in a container", files("proc/self/cgroup", "0::/\n", "sys/fs/cgroup/memory.max", "268435456\n"), 0, Limit{256 * mib, "cgroup"}},
		{"v1", files("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/a\n0::/\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "268435456\n"), 0, Limit{256 * mib, "cgroup"}},
		{"v1 in a container", files("proc/self/cgroup", "4:memory:/docker/x\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"), 0, Limit{256 * mib, "cgroup"}},
		{"v1 without", files("proc/self/cgroup", "4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"), 0, Limit{1024 * mib, "machine"}},
		{"GOMEMLIMIT", files("proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/memory.max", "268435456\n"), 100 * mib, Limit{100 * mib, "GOMEMLIMIT"}},
		{"GOMEMLIMIT above", files("proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/memory.max", "268435456\n"), 300 * mib, Limit{256 * mib, "cgroup"}},
	} {
		if got := read(c.fs, c.goLimit); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
