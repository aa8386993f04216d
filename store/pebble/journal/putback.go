package journal

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// PutBack gives segments from first on that lie under the names of others their own names, and says which. What lay there before
// goes where they were.
func PutBack(cfg Config, first uint64) (moved []string, err error) {
	o := opener{Journal: &Journal{cfg: cfg}, found: make(map[uint64]*segment)}
	defer o.abandon()
	if err := o.find(true); err != nil {
		return nil, err
	}
	path := func(number uint64) string { return cfg.FS.PathJoin(cfg.Dir, segmentName(number)) }
	aside := cfg.FS.PathJoin(cfg.Dir, ".moving")
	for _, n := range slices.Sorted(maps.Keys(o.found)) {
		for range len(o.found) { // the one that comes here instead may belong elsewhere, too
			own, ok := foreign(cfg.Secret, o.found[n])
			if !ok || own < first {
				break
			}
			if other := o.found[own]; other == nil {
				err = cfg.FS.Rename(path(n), path(own))
			} else if there, ok := foreign(cfg.Secret, other); !ok && there == own {
				break // its place is taken by itself: this is a copy
			} else {
				err = errors.Join(cfg.FS.Rename(path(own), aside), cfg.FS.Rename(path(n), path(own)), cfg.FS.Rename(aside, path(n)))
			}
			if err != nil {
				return moved, err
			}
			moved = append(moved, fmt.Sprintf("gave %s its own name, %s", segmentName(n), segmentName(own)))
			o.found[n], o.found[own] = o.found[own], o.found[n]
			for _, at := range []uint64{n, own} {
				if s := o.found[at]; s != nil {
					s.number = at
				}
			}
			if o.found[n] == nil {
				delete(o.found, n)
				break
			}
		}
	}
	return moved, syncDir(cfg.FS, cfg.Dir)
}
