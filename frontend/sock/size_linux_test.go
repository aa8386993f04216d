package sock

import (
	"testing"
	"unsafe"
)

// 64 is a class of Go's allocator.
func TestIdleConnectionIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(epollConn{}); size > 64 {
		t.Errorf("a connection takes %d bytes; want at most 64", size)
	}
}
