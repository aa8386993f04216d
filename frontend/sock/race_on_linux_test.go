//go:build race

package sock

import (
	"os/exec"
	"testing"
)

// The tests pass without the race detector too, in the build that is shipped. Elsewhere this test is left out.
func TestShippedBuildPasses(t *testing.T) {
	if out, err := exec.CommandContext(t.Context(), "go", "test", "-count=1", ".").CombinedOutput(); err != nil {
		t.Errorf("go test, without -race: %v\n%s", err, out)
	}
}
