package app

import (
	"errors"
	"fmt"

	"ramen/gateway"
	"ramen/protocol"
	"ramen/topology"
)

// check compares who thinks that it owns what: the members and the view, as they stand in the registry or a file, and the gateway of this process, where
// there is one, with the view that it acts upon. It is exact only while no shard is under way.
func (c *clusterMember) check(g *gateway.Gateway) error {
	errs := []error{c.admin.Check()}
	if g == nil {
		return errors.Join(errs...)
	}
	v := c.topology.View()
	serving := make(map[protocol.ShardID]protocol.Epoch)
	for _, s := range g.Shards() {
		if s.State == gateway.StateServing {
			serving[s.ID] = s.Epoch
		}
	}
	for i, s := range v.Shards {
		epoch, is := serving[protocol.ShardID(i)]
		mine := s.Member == c.id
		switch {
		case is && (!mine || s.Epoch != epoch):
			errs = append(errs, fmt.Errorf("app: shard %d: this gateway serves it at epoch %d; the view %d gives it to %q at epoch %d", i, epoch, v.Version, s.Member, s.Epoch))
		case !is && mine && s.State == topology.ShardServing:
			errs = append(errs, fmt.Errorf("app: shard %d: the view %d has this gateway serve it at epoch %d, and it does not", i, v.Version, s.Epoch))
		}
	}
	return errors.Join(errs...)
}
