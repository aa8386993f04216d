package simulation

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"
)

// order is what a worker is to do: schedules one after another. A worker is a process of this test's binary with one processor: with one, what a
// process does at one moment has one order too.
type order struct {
	First, Step uint64        // the seeds: the first, and by how much each is more than the one before
	Count       int           // of schedules; 0: as many as there is time for
	For         time.Duration // 0: as long as it takes
	Traces      bool          // tell all traces, not only those of schedules in which a property does not hold
	GoOn        bool          // go on behind a schedule in which a property does not hold
	Out         string        // the file that gets the results
}

// result is what became of one schedule.
type result struct {
	Seed     uint64
	Schedule string   // where a property does not hold
	Wrong    []string // the properties that do not
	Trace    string
	Events   int
}

const orderEnv = "RAMEN_SIMULATION_ORDER"

// TestWorker is a worker, where the environment has an order for one.
func TestWorker(t *testing.T) {
	text := os.Getenv(orderEnv)
	if text == "" {
		t.Skip("it is run by other tests")
	}
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := json.NewEncoder(f)
	debug.SetGCPercent(-1) // a collection in the middle would change the order of what is done at one moment
	began := time.Now()
	for i := 0; (o.Count == 0 || i < o.Count) && (o.For == 0 || time.Since(began) < o.For); i++ {
		s := draw(o.First + uint64(i)*o.Step)
		x := run(t, s)
		r := result{Seed: s.Seed, Wrong: x.wrong, Events: x.events}
		if o.Traces || len(x.wrong) > 0 {
			r.Schedule, r.Trace = s.String(), x.trace()
		}
		if err := out.Encode(r); err != nil {
			t.Fatal(err)
		}
		if i%16 == 15 {
			runtime.GC()
		}
		if len(x.wrong) > 0 && !o.GoOn {
			return
		}
	}
}

// work has binary do an order, and answers what has become of its schedules.
func work(t *testing.T, binary string, o order) []result {
	t.Helper()
	o.Out = filepath.Join(t.TempDir(), "results")
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), binary, "-test.run=^TestWorker$", "-test.timeout="+(o.For+5*time.Minute).String()) // time stands still where something never ends at one moment
	c.Env = append(os.Environ(), orderEnv+"="+string(text), "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1")
	if said, err := c.CombinedOutput(); err != nil {
		t.Errorf("worker of seed %d and so on: %v\n%.6000s", o.First, err, said)
		return nil
	}
	f, err := os.Open(o.Out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []result
	for d := json.NewDecoder(f); d.More(); {
		var r result
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	return all
}

// workAll shares an order among as many workers as there are processors.
func workAll(t *testing.T, binary string, o order) (all []result) {
	t.Helper()
	n := runtime.NumCPU()
	if o.Count > 0 {
		o.Count = (o.Count + n - 1) / n
	}
	o.Step = uint64(n)
	var mu sync.Mutex
	var workers sync.WaitGroup
	for i := range n {
		mine := o
		mine.First += uint64(i)
		workers.Go(func() {
			some := work(t, binary, mine)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, some...)
		})
	}
	workers.Wait()
	return all
}

// self is this test's binary.
func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// built is this test's binary without the race detector, which orders goroutines by chance, and with edits of the product.
func built(t *testing.T, edits ...edit) string {
	t.Helper()
	if !raced && len(edits) == 0 {
		return self(t)
	}
	dir := t.TempDir()
	args := []string{"test", "-c", "-o", filepath.Join(dir, "simulation.test")}
	if len(edits) > 0 {
		args = append(args, "-overlay", overlay(t, dir, edits))
	}
	if said, err := exec.CommandContext(t.Context(), "go", append(args, "ramen/internal/simulation")...).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, said)
	}
	return filepath.Join(dir, "simulation.test")
}

// edit is a fault that is built in: a text of a file of this module that is replaced, which has to be there once.
type edit struct{ file, old, new string }

// overlay is a file that has the compiler read other files in place of those that edits are of.
func overlay(t *testing.T, dir string, edits []edit) string {
	t.Helper()
	texts, replace := make(map[string]string), make(map[string]string)
	for _, e := range edits {
		path, err := filepath.Abs(filepath.Join("..", "..", e.file))
		if err != nil {
			t.Fatal(err)
		}
		text, is := texts[path]
		if !is {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != 1 {
			t.Fatalf("%s has %d times, not once, what the fault is put in place of: %s", e.file, n, e.old)
		}
		texts[path] = strings.Replace(text, e.old, e.new, 1)
	}
	for path, text := range texts {
		replace[path] = filepath.Join(dir, fmt.Sprintf("edited-%d.go", len(replace)))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, list, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
