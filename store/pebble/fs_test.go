package pebble

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// gateFS holds up syncs of files, and tells of each step that changes something.
type gateFS struct {
	vfs.FS
	step  func(op string) // before the operation; may be nil
	usage func() (vfs.DiskUsage, error)

	mu   sync.Mutex
	gate chan struct{} // nil: open
}

func (g *gateFS) before(op string) {
	if g.step != nil {
		g.step(op)
	}
	if op != "sync" {
		return
	}
	g.mu.Lock()
	gate := g.gate
	g.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

// stall holds up syncs until release.
func (g *gateFS) stall() (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	gate := make(chan struct{})
	g.gate = gate
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.gate = nil
		close(gate)
	}
}

func (g *gateFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	if g.usage != nil {
		return g.usage()
	}
	return g.FS.GetDiskUsage(path)
}

func (g *gateFS) wrap(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &gateFile{f, g}, nil
}

func (g *gateFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	g.before("create")
	return g.wrap(g.FS.Create(name, c))
}

func (g *gateFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	g.before("open")
	return g.wrap(g.FS.OpenReadWrite(name, c, o...))
}

func (g *gateFS) OpenDir(name string) (vfs.File, error) { return g.wrap(g.FS.OpenDir(name)) }

func (g *gateFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	g.before("reuse")
	return g.wrap(g.FS.ReuseForWrite(from, to, c))
}

func (g *gateFS) Link(from, to string) error {
	g.before("link")
	return g.FS.Link(from, to)
}

func (g *gateFS) Remove(name string) error {
	g.before("remove")
	return g.FS.Remove(name)
}

func (g *gateFS) Rename(from, to string) error {
	g.before("rename")
	return g.FS.Rename(from, to)
}

func (g *gateFS) Unwrap() vfs.FS { return g.FS }

type gateFile struct {
	vfs.File
	fs *gateFS
}

// Fd has everything pass through here.
func (f *gateFile) Fd() uintptr { return vfs.InvalidFd }

func (f *gateFile) Write(b []byte) (int, error) {
	f.fs.before("write")
	return f.File.Write(b)
}

func (f *gateFile) WriteAt(b []byte, off int64) (int, error) {
	f.fs.before("write")
	return f.File.WriteAt(b, off)
}

func (f *gateFile) Sync() error {
	f.fs.before("sync")
	return f.File.Sync()
}

func (f *gateFile) SyncData() error {
	f.fs.before("sync")
	return f.File.SyncData()
}

func (f *gateFile) SyncTo(n int64) (bool, error) {
	f.fs.before("sync")
	return f.File.SyncTo(n)
}
