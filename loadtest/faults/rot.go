package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ramen/loadtest/ledger/judge"
)

// flips is how many bits rot in one file, at most.
const flips = 200

// pad is what is in the middle of most payloads: a flipped bit there leaves a payload that is good JSON.
var pad = bytes.Repeat([]byte("x"), 16)

// rotRedis flips bits of payloads in a stopped server's log. What they were in may be lost, and has to be told; it is never served.
func (s *stage) rotRedis(x *redisServer, dir string) {
	from := s.clock.Now()
	s.fleet.stop(s.fleet.serving)
	x.Stop(s.t)
	flipped := s.flipAll(dir, ".aof", func(text []byte) []int {
		var at []int
		for end := len(text); len(at) < flips; { // from the end: what was written last is what still waits
			k := bytes.LastIndex(text[:end], pad)
			if k < 0 {
				break
			}
			at = append(at, k+s.draw(len(pad)))
			end = max(0, k-2000-s.draw(4000))
		}
		return at
	})
	x.Launch(s.t)
	x.AwaitReady(s.t)
	s.mu.Lock()
	s.spans = append(s.spans, judge.Span{What: fmt.Sprintf("%d flipped bits", flipped), From: from, To: s.clock.Now(), Owner: true, Loses: true})
	s.mu.Unlock()
	s.must(s.fleet.start(s.ctx, s.fleet.serving))
	s.rotten = func() {
		for _, p := range s.fleet.all {
			if text, err := os.ReadFile(p.Log()); err == nil && bytes.Contains(text, []byte("corrupt")) {
				return
			}
		}
		s.note("%d bits of payloads were flipped, and no log of a server says that something is corrupt", flipped)
	}
}

// rot flips bits in the tables of one node of three, and has all start again: the others have what it lacks.
func (n *nodes) rot(s *stage) {
	s.fleet.stop(s.fleet.serving)
	for _, x := range n.all {
		x.Stop(s.t) // which writes all to tables
	}
	i := s.draw(len(n.all))
	dir := n.c.Nodes[i].Dir
	if n.disk != nil {
		dir = filepath.Join(n.disk.Dir, fmt.Sprintf("node%d", i+1))
	}
	flipped := s.flipAll(dir, "-Data.db", func(text []byte) []int {
		var at []int
		for i := s.draw(200); i < len(text); i += 2000 + s.draw(2000) {
			at = append(at, i)
		}
		return at
	})
	n.launchLocked(s, n.all) // nothing else is done
	n.awaitUp(s)
	s.must(s.fleet.start(s.ctx, s.fleet.serving))
	s.rotten = func() {
		if log := n.c.Nodes[i].LogTail(); !strings.Contains(log, "Corrupt") && !strings.Contains(log, "corrupt") {
			s.note("%d bits of a node's tables were flipped, and it does not say that something is corrupt", flipped)
		}
	}
}

// flipAll flips bits in all files of messages below dir whose names end with suffix, and answers how many.
func (s *stage) flipAll(dir, suffix string, choose func(text []byte) []int) (flipped int) {
	s.must(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, suffix) || suffix == "-Data.db" && !strings.Contains(path, "/messages-") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at := choose(text)
		for _, i := range at {
			text[i] ^= 1
		}
		flipped += len(at)
		return os.WriteFile(path, text, 0o600)
	}))
	if flipped == 0 {
		s.t.Fatalf("faults: there is nothing to flip in %s", dir)
	}
	s.logf("%d bits were flipped in %s", flipped, dir)
	return flipped
}
