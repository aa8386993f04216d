//go:build !linux

package testdisk

// Disk is a file system that can lose its power.
type Disk struct{ Dir string }

// New skips the test: only Linux has what it takes.
func New(t TB) *Disk {
	t.Skipf("skipped: a disk that loses its power takes Linux")
	return nil
}

// Cut does nothing.
func (d *Disk) Cut(TB) {}

// Restore does nothing.
func (d *Disk) Restore(TB) {}
