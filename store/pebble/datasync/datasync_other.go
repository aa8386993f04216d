//go:build !linux

package datasync

// Syncer syncs files. Here there is none.
type Syncer struct{}

// New answers ErrUnsupported.
func New() (*Syncer, error) { return nil, ErrUnsupported }

// Sync answers ErrUnsupported.
func (*Syncer) Sync(uintptr) error { return ErrUnsupported }

// Write answers ErrUnsupported.
func (*Syncer) Write(uintptr, []byte, int64) error { return ErrUnsupported }

// OpenDirect answers ErrUnsupported.
func OpenDirect(uintptr) (int, error) { return -1, ErrUnsupported }

// Close does nothing.
func (*Syncer) Close() error { return nil }
