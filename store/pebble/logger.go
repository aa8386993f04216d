package pebble

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	engine "github.com/cockroachdb/pebble/v2"
)

// errorEvery bounds the lines about one kind of trouble: the engine repeats a failing flush without a pause.
const errorEvery = 5 * time.Second

// engineLog passes what the engine says to our log: its chatter at debug.
type engineLog struct {
	log  *slog.Logger
	exit func(int)
}

func (l engineLog) Infof(format string, args ...any) {
	l.log.Debug("store engine", "line", lazyf{format, args})
}

func (l engineLog) Errorf(format string, args ...any) {
	l.log.Error("store engine", "line", lazyf{format, args})
}

// Fatalf is called where the engine cannot write its log or manifest. Going on would mean to answer for what is not
// on the disk; after a start it reads what is.
func (l engineLog) Fatalf(format string, args ...any) {
	l.log.Error("store/pebble: the disk failed; the process ends. No accepted message is lost",
		"cause", fmt.Sprintf(format, args...))
	l.exit(1)
	select {} // exit must not return: whoever called us must not go on
}

// lazyf is formatted only where the line is written.
type lazyf struct {
	format string
	args   []any
}

func (l lazyf) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf(l.format, l.args...)) }

// listener watches the engine for what an operator must know.
func listener(log *slog.Logger, space *diskSpace) *engine.EventListener {
	m := space.metrics
	background, slow, stall, damage := &sparse{}, &sparse{}, &sparse{}, &sparse{}
	return &engine.EventListener{
		BackgroundError: func(err error) {
			m.backgroundErrors.Inc()
			if n, ok := background.next(); ok {
				log.Error("store: a flush or compaction failed; retrying", "error", err.Error(), "failures", n)
			}
		},
		// Fatal by default. A block that cannot be read fails the loads that need it, and those alone.
		DataCorruption: func(info engine.DataCorruptionInfo) {
			m.backgroundErrors.Inc()
			if n, ok := damage.next(); ok {
				log.Error("store: a file is damaged", "detail", info.String(), "times", n)
			}
		},
		CompactionEnd: func(info engine.CompactionInfo) {
			if info.Err == nil {
				space.compacted()
			}
		},
		DiskSlow: func(info engine.DiskSlowInfo) {
			m.diskSlow.Inc()
			if n, ok := slow.next(); ok {
				log.Warn("store: the disk is slow", "detail", info.String(), "times", n)
			}
		},
		WriteStallBegin: func(info engine.WriteStallBeginInfo) {
			m.stalls.Inc()
			if n, ok := stall.next(); ok {
				log.Warn("store: writes wait for a flush or compaction", "reason", info.Reason, "times", n)
			}
		},
	}
}

// sparse lets through one in errorEvery.
type sparse struct {
	mu    sync.Mutex
	last  time.Time
	count int
}

// next counts, and answers whether to speak, and of how many.
func (s *sparse) next() (int, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if !s.last.IsZero() && time.Since(s.last) < errorEvery {
		return 0, false
	}
	n := s.count
	s.last, s.count = time.Now(), 0
	return n, true
}
