package process

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

const (
	diskMiB      = 64
	ballastStep  = 1 << 20  // bytes of ballast of a step
	firstRefusal = 16 << 20 // bytes left: more than where the first priority is refused
)

// diskTest is a process whose disk fills up, and what it accepted.
type diskTest struct {
	t        *testing.T
	s        *server
	disk     string
	ballast  *os.File
	number   int
	accepted []string
}

// TestANearlyFullDiskRefusesInTime fills the disk with ballast while messages are published: low priority is refused
// first, then medium, then all; streams go on; and with room again, all goes on without a restart.
func TestANearlyFullDiskRefusesInTime(t *testing.T) {
	d := &diskTest{t: t, disk: mountSmall(t)}
	data := filepath.Join(d.disk, "data")
	flags := append(anyPorts.flags(), "--dev", "--data", data)
	d.s = start(t, flags...)
	dial(t, d.s, wire.WS, "offline").Close() // known, and keeps what is accepted in the store
	conn := dial(t, d.s, wire.WSProto, "online")
	d.awaitRoom()

	d.fill()
	// Of the two sides, the one that cannot do its work says so, and why. SPEC 8. TestFix21
	if status, body := d.s.get(t, "/readyz"); status != 503 || !strings.Contains(body, "the disk is nearly full") {
		t.Errorf("the backends' /readyz is %d: %s", status, body)
	}
	if status, body := d.s.getDevices(t, "/readyz"); status != 200 {
		t.Errorf("the devices' /readyz is %d: %s", status, body)
	}
	t.Logf("refused with %d MiB of ballast on %d MiB", d.ballastSize(), diskMiB)
	if status, body := d.s.get(t, "/healthz"); status != 200 {
		t.Errorf("/healthz is %d: %s", status, body)
	}
	before := len(d.accepted)
	d.received(conn, d.accepted)
	awaitHeartbeat(t, conn)

	if err := d.ballast.Truncate(0); err != nil {
		t.Fatal(err)
	}
	d.awaitRoom()
	if status, body := d.s.get(t, "/readyz"); status != 200 {
		t.Errorf("with room again the backends' /readyz is %d: %s", status, body)
	}
	d.received(conn, d.accepted[before:])

	d.s.Kill()
	d.s = start(t, flags...)
	d.received(dial(t, d.s, wire.GRPC, "offline"), d.accepted)
}

// mountSmall is a file system of diskMiB.
func mountSmall(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", diskMiB)); err != nil {
		t.Skipf("skipped: a small file system cannot be mounted, which needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// publish publishes a message of some size, and answers whether it was accepted. Refused, it is `unavailable` and says why.
func (d *diskTest) publish(priority string) bool {
	d.t.Helper()
	d.number++
	id := fmt.Sprintf("%s-%d", priority, d.number)
	body, _ := json.Marshal(map[string]any{"user": "alice", "id": id, "priority": priority, "payload": strings.Repeat("x", 10<<10)})
	answer := publish(d.t, d.s, string(body))
	switch {
	case strings.Contains(answer, `"accepted"`):
		d.accepted = append(d.accepted, id)
		return true
	case !strings.Contains(answer, `"unavailable"`):
		d.t.Errorf("a publish of %s priority is answered %s", priority, answer)
	}
	return false
}

// fill adds ballast until every priority is refused, and checks that the lower ones are refused before the higher.
func (d *diskTest) fill() {
	d.t.Helper()
	file, err := os.Create(filepath.Join(d.disk, "ballast"))
	if err != nil {
		d.t.Fatal(err)
	}
	d.ballast = file
	d.t.Cleanup(func() { file.Close() })
	states := make(map[[3]bool]bool)
	step := make([]byte, ballastStep)
	for {
		for d.free() > firstRefusal {
			d.write(step)
		}
		d.write(step)
		d.awaitNoticed()
		low, medium, high := d.publish("low"), d.publish("medium"), d.publish("high")
		states[[3]bool{low, medium, high}] = true
		if !high && !medium && !low {
			break
		}
	}
	for _, want := range [][3]bool{{true, true, true}, {false, true, true}, {false, false, true}} {
		if !states[want] {
			d.t.Errorf("there was no time at which low, medium, high were accepted as in %v, but %v", want, states)
		}
		delete(states, want)
	}
	if delete(states, [3]bool{}); len(states) > 0 {
		d.t.Errorf("low, medium, high were accepted as in %v", states)
	}
}

func (d *diskTest) write(step []byte) {
	d.t.Helper()
	if _, err := d.ballast.Write(step); err != nil {
		d.t.Fatalf("the disk was full before publishes were refused: %v", err)
	}
}

// free is how many bytes the disk has left.
func (d *diskTest) free() int64 {
	d.t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.disk, &st); err != nil {
		d.t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// awaitNoticed waits until the process has seen how little is left.
func (d *diskTest) awaitNoticed() {
	d.t.Helper()
	late := time.Now().Add(patience)
	for time.Now().Before(late) {
		_, metrics := d.s.get(d.t, "/metrics")
		if m := freeBytes.FindStringSubmatch(metrics); m != nil {
			if seen, err := strconv.ParseFloat(m[1], 64); err == nil && int64(seen) <= d.free()+ballastStep/2 {
				return
			}
		}
	}
	d.t.Fatal("ramen_store_free_bytes does not follow the disk")
}

var freeBytes = regexp.MustCompile(`(?m)^ramen_store_free_bytes (\S+)$`)

func (d *diskTest) ballastSize() int64 {
	st, err := d.ballast.Stat()
	if err != nil {
		d.t.Fatal(err)
	}
	return st.Size() >> 20
}

// awaitRoom waits until each priority is accepted.
func (d *diskTest) awaitRoom() {
	d.t.Helper()
	late := time.Now().Add(patience)
	for !d.publish("low") || !d.publish("medium") || !d.publish("high") {
		if time.Now().After(late) {
			d.t.Fatal("publishes are refused, though there is room")
		}
	}
}

// received reads pushes, and acks them, until every message of ids has come.
func (d *diskTest) received(conn wire.Conn, ids []string) {
	d.t.Helper()
	missing := make(map[string]bool)
	for _, id := range ids {
		missing[id] = true
	}
	for len(missing) > 0 {
		f := next(d.t, conn)
		if f.Kind != protocol.ServerPush {
			d.t.Fatalf("%+v instead of a push; %d messages are missing", f, len(missing))
		}
		delete(missing, string(f.Push.Message.ID))
		if err := conn.Ack(d.t.Context(), f.Push.Seq, f.Push.Cursor); err != nil {
			d.t.Fatal(err)
		}
	}
}

// awaitHeartbeat reads until a heartbeat comes.
func awaitHeartbeat(t *testing.T, conn wire.Conn) {
	t.Helper()
	late := time.AfterFunc(patience, func() { conn.Close() })
	defer late.Stop()
	for {
		var f protocol.ServerFrame
		if err := conn.Next(&f); err != nil {
			t.Fatalf("no heartbeat: %v", err)
		}
		if f.Kind == protocol.ServerHeartbeat {
			return
		}
	}
}
