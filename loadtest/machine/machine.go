package machine

import (
	"cmp"
	"fmt"
	"runtime"
	"strings"
)

// Describe is one line about what figures depend on: processor, kernel, and the file system of dir (empty: the current one).
func Describe(dir string) string {
	parts := []string{cmp.Or(model(), runtime.GOARCH), fmt.Sprintf("%d processors", runtime.NumCPU()), cmp.Or(kernel(), runtime.GOOS)}
	if fs := fileSystem(cmp.Or(dir, ".")); fs != "" {
		parts = append(parts, "data on "+fs)
	}
	return strings.Join(append(parts, runtime.Version()), ", ")
}
