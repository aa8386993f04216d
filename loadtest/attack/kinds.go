package main

import (
	"context"
	"slices"
)

// attack is one way to try to hurt a server.
type attack struct {
	name  string
	what  string   // in a line
	flags []string // of the server, beside the common ones
	small bool     // the server may use 256 MiB, as in a small container
	tls   bool     // the devices' ports speak it
	much  bool     // so like another that the tests leave it out
	// prepare makes what the flood needs, before anything is measured. May be nil.
	prepare func(ctx context.Context, t *target) error
	// flood goes on until ctx ends.
	flood func(ctx context.Context, t *target)
}

// attacks are all that there are.
var attacks = slices.Concat(resets, unfinished, controls, memoryFloods, slowPublishers, lists, slowRequests, handshakes, fragments, bombs, connects)

func find(name string) (attack, bool) {
	i := slices.IndexFunc(attacks, func(a attack) bool { return a.name == name })
	if i < 0 {
		return attack{}, false
	}
	return attacks[i], true
}
