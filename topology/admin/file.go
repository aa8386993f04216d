package admin

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"ramen/protocol"
	"ramen/topology"
	"ramen/topology/viewfile"
)

// File is a cluster without controllers, as one of its members knows it. It is safe for concurrent use.
type File struct {
	file  *viewfile.Follower
	views *viewfile.Views
	heard func() time.Duration // how long ago the claims were read
}

// NewFile is one.
func NewFile(file *viewfile.Follower, views *viewfile.Views, heard func() time.Duration) *File {
	return &File{file, views, heard}
}

// Static is the ID of a cluster without controllers, and what its Controller begins with.
const Static = "static"

// Status is the cluster by the claims as they were read last: its gateways alone, since nobody registers.
func (f *File) Status() Status {
	v := f.views.View()
	out := Status{ID: Static, Controller: Static + ", by " + f.file.Path(), HeardMS: f.heard().Milliseconds(), Members: []Member{}, Moves: []Move{}, Draining: []Drain{}, Pins: []Pin{}, Problems: f.problems(v)}
	out.View = Summary{Version: v.Version, Shards: len(v.Shards)}
	byID := make(map[topology.MemberID]*Member)
	for _, id := range slices.Sorted(maps.Keys(v.Members)) {
		m := v.Members[id]
		out.Members = append(out.Members, Member{ID: id, Name: id.Name(), Roles: []string{"gateway"}, State: m.State.String(), Address: m.Address, Zone: m.Zone, Weight: m.Weight})
	}
	for i := range out.Members {
		byID[out.Members[i].ID] = &out.Members[i]
	}
	for i, s := range v.Shards {
		if s.State == topology.ShardFree {
			out.View.Free++
			out.Moves = append(out.Moves, Move{i, s.State.String(), s.Member, s.Epoch})
			continue
		}
		out.View.Counts.add(s.State)
		byID[s.Member].Shards.add(s.State)
	}
	return out
}

// Shards is its shards, likewise.
func (f *File) Shards() Shards {
	v := f.views.View()
	out := Shards{Version: v.Version, Shards: make([]Shard, len(v.Shards))}
	for i, x := range v.Shards {
		out.Shards[i] = Shard{Shard: i, State: x.State.String(), Member: x.Member, Epoch: x.Epoch, Said: []Said{}}
	}
	return out
}

// Check says where the file and the claims contradict each other. While shards move that is so for a moment.
func (f *File) Check() error {
	if problems := f.problems(f.views.View()); len(problems) > 0 {
		return fmt.Errorf("admin: %s", strings.Join(problems, "\n"))
	}
	return nil
}

func (f *File) problems(v *topology.View) []string {
	problems := []string{}
	if err := f.file.Err(); err != nil {
		problems = append(problems, err.Error())
	}
	now, _ := f.file.Now()
	type pair struct{ to, at string }
	apart := make(map[pair]int)
	for i, s := range v.Shards {
		switch m := v.Members[s.Member]; {
		case m == nil:
			apart[pair{now.Owners[i], "nobody"}]++
		case m.State == topology.MemberGone:
			apart[pair{now.Owners[i], string(s.Member) + ", which is gone"}]++
		case s.Member.Name() != now.Owners[i]:
			apart[pair{now.Owners[i], string(s.Member)}]++
		}
	}
	for p, n := range apart {
		problems = append(problems, fmt.Sprintf("%d shards are to be at %s, and are at %s", n, p.to, p.at))
	}
	slices.Sort(problems)
	return problems[:min(len(problems), maxProblems)]
}

// refuse is the answer to who wants to change what the file says.
func (f *File) refuse() error {
	return protocol.Invalidf("this cluster has no controllers: change its view file, %s, on all members", f.file.Path())
}

// Controllers are none.
func (f *File) Controllers(context.Context) ([]Controller, error) { return nil, f.refuse() }

// Drain is refused, as all that changes a cluster with controllers.
func (f *File) Drain(context.Context, string) (Drain, error) { return Drain{}, f.refuse() }

// Undrain is refused.
func (f *File) Undrain(context.Context, string) error { return f.refuse() }

// Move is refused.
func (f *File) Move(context.Context, int, string) (Move, error) { return Move{}, f.refuse() }

// Unpin is refused.
func (f *File) Unpin(context.Context, int) error { return f.refuse() }

// AddController is refused.
func (f *File) AddController(context.Context, string, string) (Added, error) {
	return Added{}, f.refuse()
}

// PromoteController is refused.
func (f *File) PromoteController(context.Context, string) (Controller, error) {
	return Controller{}, f.refuse()
}

// RemoveController is refused.
func (f *File) RemoveController(context.Context, string) (Controller, error) {
	return Controller{}, f.refuse()
}
