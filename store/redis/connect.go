package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// prepare is for each new connection, before anything is sent by it. The server knows the scripts then, and with durability=fsync it is known
// what a reply of it means: behind a fail-over it is another server, whose settings may be weaker.
func (s *Store) prepare(ctx context.Context, c *goredis.Conn) error {
	err := loadScripts(ctx, c)
	if err != nil && s.cfg.Mode == Sentinel && strings.HasPrefix(err.Error(), "ERR unknown command") {
		return nil // a connection to a sentinel, which knows no scripts
	}
	if err != nil || s.cfg.Durability != Fsync {
		return err
	}
	srv, err := ask(ctx, "a server that was connected to", c)
	if err != nil {
		return err
	}
	s.weigh(srv)
	return nil
}

// weigh notes where a server that was just connected to syncs less than what is known of the servers. What is better is noted by inspect
// alone, which asks all of them.
func (s *Store) weigh(srv *server) {
	var broken error
	s.cfg.fsyncFindings(srv, func(fatal bool, format string, args ...any) {
		if f := srv.finding(fatal, format, args...); fatal && broken == nil {
			broken = errors.New(f.text)
		}
	})
	if broken == nil && srv.syncsBeforeReply() {
		return
	}
	s.promiseMu.Lock()
	defer s.promiseMu.Unlock()
	switch {
	case broken != nil && s.broken.Load() == nil:
		s.broken.Store(&broken)
	case broken == nil && !s.waitAOF.Load():
		s.waitAOF.Store(true)
	default:
		return
	}
	s.weighed++
	s.inspectNow.Store(true)
}

// beginInspection and endInspection are around the asking of all servers. What was found in a new connection meanwhile is not overwritten by
// what they said before.
func (s *Store) beginInspection() (weighed uint64) {
	s.promiseMu.Lock()
	defer s.promiseMu.Unlock()
	return s.weighed
}

func (s *Store) endInspection(weighed uint64, broken error, waitAOF bool) {
	s.promiseMu.Lock()
	defer s.promiseMu.Unlock()
	if s.weighed != weighed && (broken == nil || !waitAOF) {
		s.inspectNow.Store(true)
		if broken == nil {
			return
		}
		waitAOF = true
	}
	s.waitAOF.Store(waitAOF)
	if broken == nil {
		s.broken.Store(nil)
	} else {
		s.broken.Store(&broken)
	}
}

// kept answers nil while the servers keep the promise that is configured.
func (s *Store) kept() error {
	if broken := s.broken.Load(); broken != nil {
		return fmt.Errorf("%w: %w", ErrUnfit, *broken)
	}
	return nil
}
