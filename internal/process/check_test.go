package process

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestFix03CheckBesideARunningServer: what serves may be checked, and one is told that it runs. What another process has is refused.
func TestFix03CheckBesideARunningServer(t *testing.T) {
	dir := t.TempDir()
	s := start(t, append(anyPorts.flags(), "--dev", "--data", filepath.Join(dir, "data"))...)
	text := "dev: true\nlisten: {devices: '" + s.at.devices + "', devices_grpc: '" + s.at.devicesGRPC + "', backends: '" + s.at.backends + "', backends_grpc: '" + s.at.backendsGRPC + "'}\n"
	same, other := filepath.Join(dir, "same.yaml"), filepath.Join(dir, "other.yaml")
	write(t, same, text+"data: "+filepath.Join(dir, "data")+"\n")
	write(t, other, text+"data: "+filepath.Join(dir, "elsewhere")+"\n")
	out, errOut, status := run(t, nil, "", "config", "--check", same)
	if status != 0 || !strings.Contains(out, "is good") || !strings.Contains(out, "A process that uses the data in") {
		t.Errorf("exit status %d, %q%q", status, out, errOut)
	}
	out, errOut, status = run(t, nil, "", "config", "--check", other)
	if status != 1 || !strings.Contains(errOut, "listen.devices:") || !strings.Contains(errOut, "address already in use") || out != "" {
		t.Errorf("exit status %d, %q%q", status, out, errOut)
	}
	if got := publish(t, s, `{"user":"alice","payload":1}`); !strings.Contains(got, `"accepted"`) {
		t.Errorf("the server answers %s", got)
	}
}
