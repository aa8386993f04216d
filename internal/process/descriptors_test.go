package process

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestConnectionsLeaveTheStoreItsFiles: whoever opens all the connections that there can be stops neither publishes nor the
// store's flushes, which need descriptors too; and once they are gone, devices come in again.
func TestConnectionsLeaveTheStoreItsFiles(t *testing.T) {
	s := newServer(exec.Command("sh", "-c", `ulimit -n 300 && exec "$@"`, "sh", binary, "serve", "--dev", "--data", t.TempDir(),
		"--store.pebble.memtable-bytes", "1MiB", "--listen.devices", anyPorts.devices, "--listen.devices-grpc", anyPorts.devicesGRPC,
		"--listen.backends", anyPorts.backends, "--listen.backends-grpc", anyPorts.backendsGRPC))
	s.Start(t)
	s.awaitBanner(t)

	held := make([]net.Conn, 0, 400)
	for i := range cap(held) {
		c, err := net.Dial("tcp", s.at.devices)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// One that is closed at once may break here: that is no matter.
		_, _ = fmt.Fprintf(c, "GET /ramen/receive?user=holder-%d&device=d HTTP/1.1\r\nHost: localhost\r\n\r\n", i)
		held = append(held, c)
	}
	s.publishBulk(t, 6) // 6 MiB: several flushes
	for _, c := range held {
		c.Close()
	}
	s.publishBulk(t, 1)
	for end := time.Now().Add(patience); ; { // until the server has seen their ends
		if time.Now().After(end) {
			t.Fatal("devices never come in again")
		}
		resp, err := http.Get("http://" + s.at.devices + "/readyz")
		if err != nil {
			continue // closed at once: there is no room yet
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("readyz: status %d", resp.StatusCode)
		}
		return
	}
}

// publishBulk publishes so many MiB, all of which must be accepted.
func (s *server) publishBulk(t *testing.T, mib int) {
	t.Helper()
	payload := strings.Repeat("x", 16<<10)
	for i := range mib * 4 {
		messages := make([]string, 16)
		for j := range messages {
			messages[j] = fmt.Sprintf(`{"user":"bulk-%d-%d","payload":%q}`, i, j, payload)
		}
		resp, err := client.Post("http://"+s.at.backends+"/v1/publish", "application/json", strings.NewReader(`{"messages":[`+strings.Join(messages, ",")+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		body := string(text)
		if n := strings.Count(body, `"accepted"`); n != len(messages) {
			t.Fatalf("%d of %d messages were accepted: %s", n, len(messages), body)
		}
	}
}
