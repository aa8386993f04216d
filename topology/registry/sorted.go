package registry

import (
	"maps"
	"slices"

	"ramen/protocol"
	"ramen/topology"
)

func sortedMembers(v *topology.View) []topology.MemberID { return slices.Sorted(maps.Keys(v.Members)) }

func sortedShards(h Holdings) []protocol.ShardID { return slices.Sorted(maps.Keys(h)) }
