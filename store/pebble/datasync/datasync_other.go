//go:build !linux

package datasync

// Syncer syncs files. Here there is none.
type Syncer struct{}

// New answers ErrUnsupported.
func New() (*Syncer, error) { return nil, ErrUnsupported }

// Sync answers ErrUnsupported.
func (*Syncer) Sync(uintptr) error { return ErrUnsupported }

// Close does nothing.
func (*Syncer) Close() error { return nil }
