package viewfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"ramen/topology"
	"ramen/topology/assign"
)

// File is what a view file says.
type File struct {
	Members map[string]topology.Member // gateways by name, with address, zone and weight
	Owners  []string                   // by shard: the name of the gateway that is to have it
	Read    time.Time                  // when it was
}

// text is the file as it is written.
type text struct {
	Gateways map[string]gateway `yaml:"gateways"`
	Shards   map[string]string  `yaml:"shards"`
}

type gateway struct {
	Address string   `yaml:"address"`
	Zone    string   `yaml:"zone"`
	Weight  *float64 `yaml:"weight"`
}

// Parse reads a file of a cluster with so many shards.
func Parse(b []byte, shards int) (*File, error) {
	var t text
	d := yaml.NewDecoder(bytes.NewReader(b))
	d.KnownFields(true)
	if err := d.Decode(&t); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("viewfile: %w", err)
	}
	f := &File{Read: time.Now(), Members: make(map[string]topology.Member, len(t.Gateways))}
	all := make(map[topology.MemberID]*topology.Member, len(t.Gateways))
	for _, name := range slices.Sorted(maps.Keys(t.Gateways)) {
		m, err := t.Gateways[name].member(name)
		if err != nil {
			return nil, err
		}
		f.Members[name] = m
		all[m.ID] = &m
	}
	pins, err := t.pins(shards)
	if err != nil {
		return nil, err
	}
	takes := func(m topology.Member) bool { return m.Weight > 0 }
	if !slices.ContainsFunc(slices.Collect(maps.Values(f.Members)), takes) {
		return nil, errors.New("viewfile: gateways: none may own anything: name at least one, of a weight above 0")
	}
	f.Owners = make([]string, shards)
	for i, id := range assign.Shards(make([]assign.Place, shards), all, pins) {
		f.Owners[i] = string(id)
	}
	return f, nil
}

func (g gateway) member(name string) (topology.Member, error) {
	m := topology.Member{ID: topology.MemberID(name), Address: g.Address, Zone: g.Zone, Weight: 1, State: topology.MemberServing}
	if g.Weight != nil {
		m.Weight = *g.Weight
	}
	if name == "" || strings.ContainsAny(name, "@/, ") {
		return m, fmt.Errorf("viewfile: gateway %q: use a name without spaces, commas, slashes and @, that of cluster.name", name)
	}
	if host, port, err := net.SplitHostPort(g.Address); err != nil || host == "" || port == "" {
		return m, fmt.Errorf("viewfile: gateway %s: address is %q; it must be the host:port at which frontends reach it", name, g.Address)
	}
	if !(m.Weight >= 0 && m.Weight <= 1000) || math.IsNaN(m.Weight) {
		return m, fmt.Errorf("viewfile: gateway %s: weight is %v; it must be 0 to 1000", name, m.Weight)
	}
	return m, nil
}

// pins are the shards that the file gives to somebody by hand.
func (t *text) pins(shards int) (map[int]string, error) {
	pins := make(map[int]string)
	for _, ranges := range slices.Sorted(maps.Keys(t.Shards)) {
		name := t.Shards[ranges]
		if g, is := t.Gateways[name]; !is || g.Weight != nil && *g.Weight == 0 {
			return nil, fmt.Errorf("viewfile: shards %s: %q is not a gateway of this file with a weight above 0", ranges, name)
		}
		for part := range strings.SplitSeq(ranges, ",") {
			first, last, err := parseRange(part)
			if err != nil || last >= shards {
				return nil, fmt.Errorf("viewfile: shards %q: use numbers and ranges from 0 to %d, such as 0-31,64", ranges, shards-1)
			}
			for i := first; i <= last; i++ {
				if other := pins[i]; other != "" {
					return nil, fmt.Errorf("viewfile: shard %d is given to %s and to %s", i, other, name)
				}
				pins[i] = name
			}
		}
	}
	return pins, nil
}

func parseRange(s string) (first, last int, err error) {
	from, to, is := strings.Cut(strings.TrimSpace(s), "-")
	if !is {
		to = from
	}
	a, err1 := strconv.ParseUint(from, 10, 31)
	b, err2 := strconv.ParseUint(to, 10, 31)
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, err
	}
	if a > b {
		return 0, 0, fmt.Errorf("%d is above %d", a, b)
	}
	return int(a), int(b), nil
}
