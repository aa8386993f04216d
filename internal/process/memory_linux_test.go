package process

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cgroupBytes is what the server may use in these tests.
const cgroupBytes = 256 << 20

// newCgroup makes a cgroup for a server, with a limit and without swap, or skips the test. Its name is what a process writes its id into.
func newCgroup(t *testing.T) (procs string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Skipf("there are no cgroups: %v", err)
	}
	dir, limits := "", map[string]string{}
	for line := range strings.Lines(string(text)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) == 3 && parts[1] == "memory":
			dir, limits = filepath.Join("/sys/fs/cgroup/memory", parts[2]), map[string]string{"memory.limit_in_bytes": strconv.Itoa(cgroupBytes)}
		case len(parts) == 3 && parts[1] == "" && dir == "":
			dir, limits = filepath.Join("/sys/fs/cgroup", parts[2]), map[string]string{"memory.max": strconv.Itoa(cgroupBytes)}
		}
	}
	dir = filepath.Join(dir, fmt.Sprintf("ramen-test-%d-%d", os.Getpid(), time.Now().UnixNano()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Skipf("no cgroup can be made here (it takes root, and a writable /sys/fs/cgroup): %v", err)
	}
	t.Cleanup(func() {
		for range 100 { // the process is gone before its cgroup is empty
			if os.Remove(dir) == nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	for file, value := range limits {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil {
			t.Skipf("this cgroup takes no limit of memory: %v", err)
		}
	}
	for _, swap := range []string{"memory.memsw.limit_in_bytes", "memory.swap.max"} {
		value := "0"
		if strings.Contains(swap, "memsw") {
			value = strconv.Itoa(cgroupBytes)
		}
		_ = os.WriteFile(filepath.Join(dir, swap), []byte(value), 0o644) // where there is swap
	}
	return filepath.Join(dir, "cgroup.procs")
}

// startIn is start in a cgroup.
func startIn(t *testing.T, procs string, args ...string) *server {
	t.Helper()
	s := newServer(exec.Command("/bin/sh", append([]string{"-c", `echo $$ > "$0" && exec "$@"`, procs, binary, "serve"}, args...)...))
	s.Start(t)
	s.awaitBanner(t)
	return s
}

// status is a value of the server's /proc/self/status, in bytes.
func (s *server) status(t *testing.T, name string) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Cmd.Process.Pid))
	if err != nil {
		t.Fatalf("the server is gone: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name+":" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	t.Fatalf("there is no %s", name)
	return 0
}

// flood is one way to fill the memory. send makes the nth request, and says how much of it was taken and how much refused.
type flood struct {
	name  string
	above bool // it takes what is for high priority too
	send  func(c *http.Client, s *server, n int) (taken, refused int, err error)
}

// batches floods with publishes of low priority, 250 a request, a user each four requests.
func batches(edit func(m map[string]any, id string)) func(c *http.Client, s *server, n int) (int, int, error) {
	return func(c *http.Client, s *server, n int) (taken, refused int, err error) {
		var all []map[string]any
		for i := range 250 {
			id := fmt.Sprintf("%d.%d", n, i)
			m := map[string]any{"id": id, "user": fmt.Sprint("u", n/4), "priority": "low", "ttl_ms": 600_000}
			edit(m, id)
			all = append(all, m)
		}
		body, _ := json.Marshal(map[string]any{"messages": all})
		res, err := c.Post("http://"+s.at.backends+"/v1/publish", "application/json", bytes.NewReader(body))
		if err != nil {
			return 0, 0, err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			return 0, 0, err
		}
		if res.StatusCode == http.StatusServiceUnavailable { // as a whole
			return 0, len(all), nil
		}
		taken = bytes.Count(text, []byte(`"accepted"`))
		for _, code := range []string{`"unavailable"`, `"resource_exhausted"`} {
			refused += bytes.Count(text, []byte(code))
		}
		if taken+refused != len(all) {
			return taken, refused, fmt.Errorf("%d: %.300s", res.StatusCode, text)
		}
		return taken, refused, nil
	}
}

func many(n int) map[string]string {
	m := make(map[string]string)
	for i := range n {
		m[fmt.Sprint(i)] = ""
	}
	return m
}

// In 256 MiB, with the default configuration, whatever fills the memory is refused in time: the process is not killed, and publishes
// of high priority are answered throughout.
func TestFix17FloodsInASmallCgroupAreRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("it fills the memory of five servers")
	}
	long := strings.Repeat("w", 4000)
	for _, f := range []flood{
		{"where", false, batches(func(m map[string]any, _ string) { m["where"] = map[string]string{"os": long} })},
		{"payload", false, batches(func(m map[string]any, _ string) { m["payload"] = long })},
		{"headers", false, batches(func(m map[string]any, _ string) { m["headers"] = many(400) })},
		{"tiny", false, batches(func(m map[string]any, id string) { m["id"] = id + strings.Repeat("x", 128-len(id)) })},
		{"high", true, batches(func(m map[string]any, _ string) { m["payload"], m["priority"] = long, "high" })},
		{"devices", false, func(c *http.Client, s *server, n int) (taken, refused int, err error) {
			res, err := c.Get(fmt.Sprintf("http://%s/ramen/poll?user=d%d&device=d%d&wait=0&app=%s", s.at.devices, n, n, long[:900]))
			if err != nil {
				return 0, 0, err
			}
			defer res.Body.Close()
			_, _ = io.Copy(io.Discard, res.Body)
			if res.StatusCode == http.StatusOK {
				return 1, 0, nil
			}
			return 0, 1, nil
		}},
	} {
		t.Run(f.name, func(t *testing.T) {
			procs, args := newCgroup(t), append(anyPorts.flags(), "--dev", "--data", filepath.Join(t.TempDir(), "data"))
			s := startIn(t, procs, args...)
			if !strings.Contains(s.Err.String(), "gateway.memory_bytes=") {
				t.Error("the start does not say that gateway.memory_bytes is less in effect")
			}
			f.run(t, s)
			s.Kill()
			<-s.Ended
			comesBack(t, startIn(t, procs, args...))
		})
	}
}

// comesBack has a server that was killed full take its users into memory again: all of whom it may.
func comesBack(t *testing.T, s *server) {
	var all sync.WaitGroup
	var served atomic.Int64
	for first := range 8 {
		all.Go(func() {
			for n := first; n < 400; n += 8 {
				res, err := client.Get(fmt.Sprintf("http://%s/v1/users/u%d/devices", s.at.backends, n))
				if err != nil {
					t.Error(err)
					return
				}
				res.Body.Close()
				if res.StatusCode == http.StatusOK {
					served.Add(1)
				}
			}
		})
	}
	all.Wait()
	peak := s.status(t, "VmHWM")
	t.Logf("after a restart %d users of 400 are in memory, at most %d MiB resident", served.Load(), peak>>20)
	if served.Load() == 0 || peak > cgroupBytes*15/16 {
		t.Errorf("%d users are in memory, %d MiB were resident of %d", served.Load(), peak>>20, cgroupBytes>>20)
	}
}

// canary publishes a message of high priority, and again, as a publisher does, where its outcome is unknown: a machine that is busy
// with the flood may be too slow for the store's deadline. It must not be refused for want of memory, unless that is expected.
func canary(c *http.Client, s *server, n int64, above bool) error {
	for deadline := time.Now().Add(10 * time.Second); ; {
		res, err := c.Post("http://"+s.at.backends+"/v1/publish", "application/json",
			strings.NewReader(fmt.Sprintf(`{"user":"canary%d","id":"c%d","priority":"high","ttl_ms":5000}`, n%100, n)))
		if err != nil {
			return fmt.Errorf("canary: %w", err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode == http.StatusOK || above && res.StatusCode == http.StatusServiceUnavailable {
			return err
		}
		if !bytes.Contains(text, []byte("the store failed or did not answer in time")) || time.Now().After(deadline) {
			return fmt.Errorf("canary %d: %d %s", n, res.StatusCode, text)
		}
	}
}

// run floods s until enough is refused, beside a canary.
func (f *flood) run(t *testing.T, s *server) {
	var taken, refused, sent, canaries atomic.Int64
	var failed atomic.Pointer[error]
	fail := func(err error) { failed.CompareAndSwap(nil, &err) }
	began, slowest := time.Now(), time.Duration(0)
	done := func() bool {
		return failed.Load() != nil || refused.Load() > 20*max(taken.Load()/100, 100) && time.Since(began) > 5*time.Second || time.Since(began) > patience
	}
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer client.CloseIdleConnections()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for !done() {
				n, no, err := f.send(client, s, int(sent.Add(1)))
				if err != nil {
					fail(err)
				}
				taken.Add(int64(n))
				refused.Add(int64(no))
			}
		})
	}
	all.Go(func() {
		for !done() {
			began := time.Now()
			if err := canary(client, s, canaries.Add(1), f.above); err != nil {
				fail(err)
			}
			slowest = max(slowest, time.Since(began))
		}
	})
	all.Wait()
	peak := s.status(t, "VmHWM")
	_, metrics := s.get(t, "/metrics")
	var counted string
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "ramen_gateway_waiting_bytes ") || strings.HasPrefix(line, "ramen_store_recent_bytes ") || strings.HasPrefix(line, "go_memstats_heap_inuse_bytes ") {
			counted += " " + strings.TrimSpace(line)
		}
	}
	t.Logf("%d taken, %d refused, %d canaries, the slowest %v, at most %d MiB resident;%s", taken.Load(), refused.Load(), canaries.Load(), slowest, peak>>20, counted)
	if err := failed.Load(); err != nil {
		t.Fatal(*err)
	}
	if refused.Load() == 0 || taken.Load() == 0 {
		t.Errorf("%d taken, %d refused; want some of both", taken.Load(), refused.Load())
	}
	if peak > cgroupBytes*15/16 {
		t.Errorf("%d MiB were resident of %d", peak>>20, cgroupBytes>>20)
	}
}
