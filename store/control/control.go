// Package control is how a command reaches the process that has a store open: a unix socket in the store's directory, which
// nobody can reach who may not write there.
//
// One call: POST /backup?dir=DIR, answered with what was copied, or 500 and what went wrong as text.
// Goroutines: one that accepts, one a call; Close waits for all.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"ramen/store"
)

// Name is the socket's, in the directory.
const Name = "control.sock"

// ErrNotRunning is the answer where no process has the directory's socket.
var ErrNotRunning = errors.New("control: no server has the directory")

const (
	callBackup = "/backup"
	maxAnswer  = 64 << 10
)

// Server answers commands.
type Server struct {
	http    http.Server
	path    string
	serving sync.WaitGroup
	calls   sync.WaitGroup
}

// Listen answers for a store in its folder, until Close.
func Listen(b store.Backuper, log *slog.Logger) (*Server, error) {
	dir := b.Dir()
	s := &Server{path: filepath.Join(dir, Name)}
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a process that was killed
		return nil, fmt.Errorf("control: %w", err)
	}
	short, done, err := shorten(dir)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("control: listen on %s: %w", s.path, err)
	}
	l.SetUnlinkOnClose(false) // by a name that is gone by then
	if err := os.Chmod(s.path, 0o600); err != nil {
		return nil, fmt.Errorf("control: %w", errors.Join(err, l.Close()))
	}
	s.http = http.Server{Handler: s.handler(b, log), ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	s.serving.Go(func() { _ = s.http.Serve(l) }) // ends with Close
	return s, nil
}

// Close ends calls under way, and waits for them.
func (s *Server) Close() error {
	err := s.http.Close()
	s.serving.Wait()
	s.calls.Wait()
	return errors.Join(err, os.Remove(s.path))
}

func (s *Server) handler(b store.Backuper, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+callBackup, func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		defer s.calls.Done()
		dir, began := r.FormValue("dir"), time.Now()
		done, err := b.Backup(r.Context(), dir)
		if err != nil {
			log.Warn("store: backup failed", "dir", dir, "error", err.Error())
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		log.Info("store: backup done", "dir", dir, "files", done.Files, "bytes", done.Bytes, "took", time.Since(began).Round(time.Millisecond))
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(done) // a client that went away is told nothing
	})
	return mux
}

// Backup has the server of the store in data copy it to dir, an absolute path as the server sees it.
func Backup(ctx context.Context, data, dir string) (store.Backup, error) {
	var done store.Backup
	t := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, data) }}
	defer t.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://store"+callBackup+"?"+url.Values{"dir": {dir}}.Encode(), nil)
	if err != nil {
		return done, fmt.Errorf("control: %w", err)
	}
	answer, err := (&http.Client{Transport: t}).Do(r)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK):
		return done, ErrNotRunning
	case err != nil:
		return done, fmt.Errorf("control: ask the server of %s: %w", data, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err == nil && answer.StatusCode != http.StatusOK {
		return done, errors.New(strings.TrimSpace(string(body)))
	}
	if err == nil {
		err = json.Unmarshal(body, &done)
	}
	if err != nil {
		return done, fmt.Errorf("control: the answer of the server of %s: %w", data, err)
	}
	return done, nil
}

func dial(ctx context.Context, data string) (net.Conn, error) {
	short, done, err := shorten(data)
	if err != nil {
		return nil, err
	}
	defer done()
	return new(net.Dialer).DialContext(ctx, "unix", short)
}

// maxPath is the longest path of a socket, less than what any system takes.
const maxPath = 100

// shorten is a path of the socket that is short enough for the system, until done is called.
func shorten(dir string) (path string, done func(), err error) {
	path, done = filepath.Join(dir, Name), func() {}
	if len(path) <= maxPath {
		return path, done, nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return "", done, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), Name), func() { _ = d.Close() }, nil
}
