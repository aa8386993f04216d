package stream

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/protocol"
)

// The labels of a device's context by which its client library says what it is. SPEC 4.2.11.
const (
	labelClient        = "client"
	labelClientVersion = "client_version"
)

// A device may say what it likes, and each pair is a series that a Prometheus keeps for weeks. So there are at most maxClients pairs at
// a time, and a name makes room for another only after an hour without a stream: at most as many new ones an hour.
const (
	maxClients    = 64
	maxClientText = 32 // bytes
	clientKept    = time.Hour
)

// clientIndex is where a stream is counted.
type clientIndex uint16

// The pairs that are always there.
const (
	noClient     clientIndex = iota // the device does not say
	otherClients                    // what has no pair of its own: unusual names, and those beyond maxClients
	firstNamed
)

// clientName is a pair of label values.
type clientName struct{ library, version string }

const (
	unnamed = "none"
	others  = "other"
)

// clients counts the open streams of each client library and version. mu is a leaf.
type clients struct {
	gauges *prometheus.GaugeVec
	clock  clock

	mu sync.Mutex
	// guarded by mu
	index map[clientName]clientIndex
	of    []clientCount
}

// clientCount is one pair.
type clientCount struct {
	name           clientName
	gauge          prometheus.Gauge
	opened, closed int   // streams, ever, under whatever name
	emptyMS        int64 // when the last one ended
}

// open is how many streams are.
func (o *clientCount) open() int { return o.opened - o.closed }

func newClients(r prometheus.Registerer, c clock) (*clients, error) {
	x := &clients{clock: c, index: make(map[clientName]clientIndex, firstNamed+maxClients), gauges: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "ramen_frontend_clients", Help: "Open streams of devices, by client library and version as the device said when it opened (labels client and client_version); none: it did not; other: an unusual name, or one of too many.",
	}, []string{"library", "version"})}
	x.addLocked(clientName{unnamed, unnamed})
	x.addLocked(clientName{others, others})
	return x, r.Register(x.gauges)
}

// addLocked makes a pair that there is room for.
func (x *clients) addLocked(n clientName) clientIndex {
	i := clientIndex(len(x.of))
	x.of = append(x.of, clientCount{})
	x.nameLocked(i, n)
	return i
}

func (x *clients) nameLocked(i clientIndex, n clientName) {
	x.of[i].name, x.of[i].gauge = n, x.gauges.WithLabelValues(n.library, n.version)
	x.index[n] = i
}

// opened counts a stream of a device with context c, and answers what closed is to be told.
func (x *clients) opened(c *protocol.DeviceContext) clientIndex {
	n, usual := clientOf(c)
	x.mu.Lock()
	defer x.mu.Unlock()
	i := otherClients
	if usual {
		i = x.findLocked(n)
	}
	x.of[i].opened++
	x.of[i].gauge.Inc()
	return i
}

// closed counts the end of a stream.
func (x *clients) closed(i clientIndex) {
	x.mu.Lock()
	defer x.mu.Unlock()
	o := &x.of[i]
	o.gauge.Dec()
	if o.closed++; o.open() == 0 {
		o.emptyMS = x.clock.now()
	}
}

// findLocked is the index of n, which gets a pair of its own where there is room for one.
func (x *clients) findLocked(n clientName) clientIndex {
	if i, ok := x.index[n]; ok {
		return i
	}
	n = clientName{strings.Clone(n.library), strings.Clone(n.version)} // of a context
	if len(x.of) < int(firstNamed)+maxClients {
		return x.addLocked(n)
	}
	before := x.clock.now() - clientKept.Milliseconds()
	for i := firstNamed; int(i) < len(x.of); i++ {
		if o := &x.of[i]; o.open() == 0 && o.emptyMS <= before {
			delete(x.index, o.name)
			x.gauges.DeleteLabelValues(o.name.library, o.name.version)
			x.nameLocked(i, n)
			return i
		}
	}
	return otherClients
}

// clientOf is what a device says of its client; false where that is no name of a library or no version.
func clientOf(c *protocol.DeviceContext) (clientName, bool) {
	n := clientName{unnamed, unnamed}
	if c == nil {
		return n, true
	}
	if v := c.Labels[labelClient]; v != "" {
		n.library = v
	}
	if v := c.Labels[labelClientVersion]; v != "" {
		n.version = v
	}
	return n, usualText(n.library) && usualText(n.version)
}

// usualText is what names and versions of packages are made of.
func usualText(v string) bool {
	if len(v) > maxClientText {
		return false
	}
	for i := range len(v) {
		switch b := v[i]; {
		case '0' <= b && b <= '9', 'A' <= b && b <= 'Z', 'a' <= b && b <= 'z', b == '.', b == '_', b == '+', b == '-':
		default:
			return false
		}
	}
	return true
}

// ends is how many streams have ended, by index.
func (x *clients) ends() (n [int(firstNamed) + maxClients]int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.of {
		n[i] = x.of[i].closed
	}
	return n
}

// check compares the counts with the streams that have a timer, by index: these are counted before they get it, and until they have
// lost it. Streams come and go meanwhile: before is ends from before the timers were counted.
func (x *clients) check(before, timed *[int(firstNamed) + maxClients]int) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.of {
		o := &x.of[i]
		if most := o.opened - before[i]; o.closed > o.opened || most < timed[i] {
			return fmt.Errorf("frontend: check: %d streams of client %s %s are counted, %d have a timer", most, o.name.library, o.name.version, timed[i])
		}
	}
	return nil
}

// len is how many streams are counted.
func (x *clients) len() (n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range x.of {
		n += x.of[i].open()
	}
	return n
}
