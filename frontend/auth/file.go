package auth

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"
)

// maxFile bounds a file of keys or certificates, in bytes.
const maxFile = 1 << 20

// racy is how old a file must be when it is read for its time to tell whether it has changed since: file systems keep
// times in steps of up to 2 s, and a second write within a step and of the same size would go unseen.
const racy = 2 * time.Second

// followedFile is one file and what was last seen of it.
type followedFile struct {
	path string
	info os.FileInfo // nil: it could not be read, or its time cannot be trusted
	sum  [sha256.Size]byte
}

// untouched reports, from the file's inode, size and time alone, that it is still as it was read. It follows symbolic
// links, so that a swapped link is a touched file.
func (f *followedFile) untouched() bool {
	if f.info == nil {
		return false
	}
	now, err := os.Stat(f.path)
	return err == nil && os.SameFile(now, f.info) && now.Size() == f.info.Size() && now.ModTime().Equal(f.info.ModTime())
}

// read reads the file whole, and notes what it has seen.
func (f *followedFile) read() ([]byte, error) {
	f.info = nil
	file, err := os.Open(f.path)
	if err != nil {
		return nil, err // it names the path
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", f.path)
	}
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", f.path, maxFile)
	}
	if time.Since(info.ModTime()) > racy {
		f.info = info
	}
	return data, nil
}
