package admission

import (
	"errors"
	"fmt"
)

// Limits bound new streams. A limit of 0 is none.
type Limits struct {
	MaxStreams              int `yaml:"max_streams" doc:"The most streams of this process, polls included. Beyond it a new stream is told that the server is overloaded. 0: as many as open files allow, all transports together."`
	OpensPerSecond          int `yaml:"opens_per_second" doc:"The most streams opened per second, with a burst of as many. 0: no limit."`
	MaxStreamsPerSource     int `yaml:"max_streams_per_source" doc:"The most streams from one source address (IPv6: from one /64). 0: no limit. Keep 0 behind a proxy, where all streams come from the proxy's address."`
	OpensPerSecondPerSource int `yaml:"opens_per_second_per_source" doc:"The most streams opened per second from one source address; polls and acks count as well. 0: no limit. Keep 0 behind a proxy."`
}

// Validate says what is wrong with l, all of it.
func (l Limits) Validate() error {
	var errs []error
	for _, n := range []int{l.MaxStreams, l.OpensPerSecond, l.MaxStreamsPerSource, l.OpensPerSecondPerSource} {
		if n < 0 {
			errs = append(errs, fmt.Errorf("frontend: check configuration: a limit on streams or opens is %d: use 0 (no limit) or more", n))
		}
	}
	return errors.Join(errs...)
}

// counts reports whether sources are counted.
func (l *Limits) counts() bool { return l.MaxStreamsPerSource != 0 || l.OpensPerSecondPerSource != 0 }
