package registry

import (
	"log/slog"
	"time"

	"ramen/topology"
)

// RegisterFrontend registers a frontend for as long as its session lasts. self is as it is told; views are those that it follows.
func RegisterFrontend(b Backend, self topology.Member, addresses map[string]string, views *Views, log *slog.Logger) *Session {
	started := time.Now().UnixMilli()
	return NewSession(SessionConfig{Backend: b, Key: FrontendsKey + string(self.ID), Log: log, Value: func() []byte {
		return Gateway{Member: self, Past: views.Past(), StartedMS: started, Addresses: addresses}.Encode()
	}})
}
