// Package driver says what a kind of store offers to those that open, check and prepare stores by their URL, and know none by its type.
//
// A URL names all settings of a store: where it is, and the rest as parameters of its query. A driver refuses a parameter that it does
// not know.
package driver

import (
	"context"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"ramen/store"
)

// Params is what a store is opened with.
type Params struct {
	URL         *url.URL      // as ParseURL reads it, without the password; several hosts stand in its Host, with commas: see Hosts
	Password    string        // of the user in the URL, or of the server where no user is named; empty: there is none
	Dir         string        // folder for what is kept on this machine
	Shards      int           // of users; a store with another number is refused
	IDRetention time.Duration // how long ids of accepted messages are remembered
	MemoryBytes int64         // what the store should take in memory at most; 0: there is plenty
	Cache       bool          // it keeps copies of what another store has
	Log         *slog.Logger
	Registerer  prometheus.Registerer // nil: nowhere
}

// Driver is one kind of store.
type Driver struct {
	Schemes []string // of its URLs, the usual one first
	// Open opens the store, and creates it where there is none, but for what Init makes. It fails where the store is not reached
	// before ctx ends, in words that say what to do.
	Open func(ctx context.Context, p Params) (store.Store, error)
	// Check looks at a store without changing it. It fails where Open would; what is wrong otherwise is in the report, which has what
	// was found out also where it fails.
	Check func(ctx context.Context, p Params) (Report, error)
	// Schema is what Init would create, in the store's own language; nil: the store needs no preparation.
	Schema func(p Params) (string, error)
	// Init creates what Open needs, or brings what an older version created up to date, and says line by line what it has done; nil
	// as Schema is.
	Init func(ctx context.Context, p Params) ([]string, error)
	// Memory is what the store takes in memory at worst, in bytes, and how many of them are not of Go's heap; nil: little.
	Memory func(p Params) (all, outside int64)
	// Remote: the store is reached over a network. Its calls are measured at the contract.
	Remote bool
	// Volatile: what is stored is lost when the process ends.
	Volatile bool
}

// Tier is a kind of store that is made of two: one that keeps, and a cache before it.
type Tier struct {
	Kept, Caches []string // schemes of the URLs of both
	// Wrap makes one store of one that is open, with what it was opened with, and a cache that openCache opens: where that fails the
	// store does without it, and opens it later. It closes both when it is closed. Where Wrap fails, kept is still the caller's.
	Wrap func(ctx context.Context, kept store.Store, openCache func(context.Context) (store.Store, error), p Params) (store.Store, error)
}

// Report is what Check has found.
type Report struct {
	Servers    []Server
	Durability string   // what an accepted message survives with these settings, in one sentence
	Problems   []string // what is wrong, each with what would be right
	InUse      bool     // a process serves from it now, as far as the store can tell
}

// Server is one server that was reached, or not.
type Server struct {
	Address string // host:port; of a store on this machine, its folder
	Version string // with the product's name; empty: it was not reached
	Role    string // master, replica, sentinel, node; empty where there is only one
	Err     error  // why it was not reached
}
