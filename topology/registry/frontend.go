package registry

import (
	"log/slog"
	"time"

	"ramen/topology"
)

// Frontend is what a frontend registers.
type Frontend struct {
	Self      topology.Member
	Addresses map[string]string // of its ports, by name
	Views     *Views            // that it follows
	Load      func() Load       // nil: it tells none
}

// RegisterFrontend registers a frontend for as long as its session lasts.
func RegisterFrontend(b Backend, f Frontend, log *slog.Logger) *Session {
	started := time.Now().UnixMilli()
	return NewSession(SessionConfig{Backend: b, Key: FrontendsKey + string(f.Self.ID), Log: log, Value: func() []byte {
		g := Gateway{Member: f.Self, Past: f.Views.Past(), StartedMS: started, Addresses: f.Addresses}
		if f.Load != nil {
			g.Load = f.Load()
		}
		return g.Encode()
	}})
}
