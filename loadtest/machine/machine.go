package machine

import (
	"cmp"
	"fmt"
	"runtime"
	"strings"
)

// Machine is what figures depend on, in a line: processor, kernel, and the file system of a folder (empty: this one).
func Machine(dir string) string {
	parts := []string{cmp.Or(model(), runtime.GOARCH), fmt.Sprintf("%d processors", runtime.NumCPU()), cmp.Or(kernel(), runtime.GOOS)}
	if fs := fileSystem(cmp.Or(dir, ".")); fs != "" {
		parts = append(parts, "data on "+fs)
	}
	return strings.Join(append(parts, runtime.Version()), ", ")
}
