package linkgrpc

import (
	"fmt"
	"maps"
	"slices"
)

// Check counts again what the metrics of a frontend say. It is exact only while nothing is under way.
func (c *Client) Check() error {
	c.mu.RLock()
	links := slices.Collect(maps.Values(c.links))
	c.mu.RUnlock()
	up, streams := 0, 0
	for _, l := range links {
		if a := l.standing.Load(); a != nil {
			a.mu.Lock()
			up, streams = up+1, streams+len(a.streams)
			a.mu.Unlock()
		}
	}
	return c.metrics.compare(up, streams)
}

// Check counts again what the metrics of a gateway say, and the credit of its streams. It is exact only while nothing is under way.
func (s *Server) Check() error {
	s.mu.Lock()
	links := slices.Collect(maps.Values(s.links))
	s.mu.Unlock()
	total := 0
	for _, l := range links {
		l.mu.Lock()
		streams := slices.Collect(maps.Values(l.streams))
		l.mu.Unlock()
		total += len(streams)
		left := int64(0)
		for _, s := range streams {
			s.mu.Lock()
			left += s.left
			s.mu.Unlock()
		}
		if exposed := l.exposed.Load(); exposed != left {
			return fmt.Errorf("linkgrpc: the link of %s has given credit of %d bytes; its streams have %d", l.frontend.From, exposed, left)
		}
	}
	return s.metrics.compare(len(links), total)
}

func (m *metrics) compare(up, streams int) error {
	if int64(up) != m.up.Load() || int64(streams) != m.streams.Load() {
		return fmt.Errorf("linkgrpc: %d links are up and have %d streams; the metrics say %d and %d", up, streams, m.up.Load(), m.streams.Load())
	}
	return nil
}
