//go:build !linux

package devices

import "ramen/protocol"

// poller is how a shard hears of light streams; there are none on this system.
type poller interface {
	run(s *Shard)
	wake()
	close()
}

func newPoller() (poller, error) { return nil, nil }

type target struct{}

func resolve(string) (target, bool, error) { return target{}, false, nil }

type light struct {
	d      *Device
	echo   bool
	joined []byte

	deflate, packed bool
}

func (l *light) cut()        {}
func (l *light) ack()        {}
func (l *light) send([]byte) {}

func (s *Shard) dialLight(*Device, *endpoint, *protocol.OpenFrame) {}

type halfOpenConn struct{}

func (s *Shard) closeHalfOpen()    {}
func (s *Shard) abandon(d *Device) { d.drop() }
