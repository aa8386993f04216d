package etcdserver

import (
	"context"
	"log/slog"
	"sync/atomic"

	"go.uber.org/zap/zapcore"
)

// logCore has etcd's log be the process's: its warnings, which are many where a disk or a network is slow, at debug, its errors as warnings, and
// what ends the process as errors. While it is closed its ports tell of that as errors: then only what ends the process is told.
type logCore struct {
	log   *slog.Logger
	quiet *atomic.Bool // it is closed
}

var _ zapcore.Core = logCore{}

func (c logCore) level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.DPanicLevel:
		return slog.LevelError
	case l >= zapcore.ErrorLevel && !c.quiet.Load():
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled implements zapcore.LevelEnabler.
func (c logCore) Enabled(l zapcore.Level) bool {
	return l >= zapcore.WarnLevel && c.log.Enabled(context.Background(), c.level(l))
}

// With implements zapcore.Core.
func (c logCore) With(fields []zapcore.Field) zapcore.Core {
	return logCore{c.log.With(args(fields)...), c.quiet}
}

// Check implements zapcore.Core.
func (c logCore) Check(e zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return checked.AddCore(e, c)
	}
	return checked
}

// Write implements zapcore.Core.
func (c logCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	c.log.Log(context.Background(), c.level(e.Level), "etcd: "+e.Message, args(fields)...)
	return nil
}

// Sync implements zapcore.Core.
func (c logCore) Sync() error { return nil }

// args are fields in the order of their adding.
func args(fields []zapcore.Field) []any {
	var all []any
	for _, f := range fields {
		m := zapcore.NewMapObjectEncoder()
		f.AddTo(m)
		for key, value := range m.Fields {
			all = append(all, key, value)
		}
	}
	return all
}
