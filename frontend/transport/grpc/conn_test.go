package grpc

import (
	"testing"
	"time"
	"unsafe"

	"google.golang.org/grpc/status"

	"ramen/frontend/sock"
)

// finishing is a grpcend.Ender.
type finishing func()

func (f finishing) WriteStatus(*status.Status) error {
	f()
	return nil
}

// noHandler is told nothing.
type noHandler struct{}

func (noHandler) Read([]byte)  {}
func (noHandler) Written(int)  {}
func (noHandler) Closed(error) {}

// grpc gives buffers back while it holds a lock of its connection's, where that has ended; and takes this lock to end a stream.
func TestBuffersComeBackWhileTheStreamIsEnded(t *testing.T) {
	for name, end := range map[string]func(sock.Conn){"close": sock.Conn.Close, "shutdown": sock.Conn.Shutdown} {
		frame := copyOf([]byte("a frame"))
		c := &conn{h: noHandler{}}
		c.end = finishing(func() {
			back := make(chan struct{})
			go func() {
				c.Put(frame)
				close(back)
			}()
			select {
			case <-back:
			case <-time.After(10 * time.Second):
				t.Errorf("%s: a buffer waits for the end that waits for it", name)
			}
		})
		end(c)
	}
}

// 448 is a class of Go's allocator.
func TestStreamIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(deviceStream{}); size > 448 {
		t.Errorf("a stream takes %d bytes; want at most 448", size)
	}
}
