package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/internal/testserver"
	"ramen/internal/testserver/redistest"
	"ramen/protocol"
	"ramen/store"
	"ramen/store/storetest"
)

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), testserver.Patience)
	t.Cleanup(cancel)
	return ctx
}

// TestAnAdoptedIdentityIsTheOneThatIsWrittenBack after FLUSHALL, and so is that of a store that was retired.
func TestAnAdoptedIdentityIsTheOneThatIsWrittenBack(t *testing.T) {
	server := redistest.Single(t, redistest.Options{})
	for name, change := range map[string]func(*Store) error{
		"adopted": func(s *Store) error {
			return s.Adopt(within(t), store.Identity{Generation: 7, Key: [16]byte{7}})
		},
		"retired": func(s *Store) error { return s.Retire(within(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := configOf(t, server)
			s := open(t, cfg)
			was := s.Identity()
			if err := change(s); err != nil {
				t.Fatal(err)
			}
			want := s.Identity()
			if want == was {
				t.Fatal("the identity is as before")
			}
			c := server.Client(t)
			if err := c.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			ctx := within(t)
			if err := testserver.Await(ctx, func() error { return c.Get(ctx, identityKey(cfg.Prefix)).Err() }); err != nil {
				t.Fatal(err)
			}
			if got := open(t, cfg).Identity(); got != want {
				t.Errorf("the identity is %+v, want %+v", got, want)
			}
		})
	}
}

// TestAnAdoptedIdentityIsAsDurableAsAnAppend: with durability=replicas it is not answered before a replica has it, which may be promoted.
func TestAnAdoptedIdentityIsAsDurableAsAnAppend(t *testing.T) {
	r := redistest.WithReplicas(t, redistest.Options{}, 1)
	cfg := configOf(t, r.Master)
	cfg.Durability = Replicas
	s := open(t, cfg)
	r.Replicas[0].Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	id := store.Identity{Generation: 7, Key: [16]byte{7}}
	if err := s.Adopt(ctx, id); err == nil {
		t.Fatal("it was answered before the replica had it")
	}
	r.Replicas[0].Continue(t)
	if err := s.Adopt(within(t), id); err != nil || s.Identity() != id {
		t.Errorf("once more: %v, %+v", err, s.Identity())
	}
}

// TestNobodyClaimsAStoreThatHasBecomeAnother since it was opened.
func TestNobodyClaimsAStoreThatHasBecomeAnother(t *testing.T) {
	server := redistest.Single(t, redistest.Options{})
	claiming := func(s *Store, epoch protocol.Epoch) error {
		return errors.Join(s.Claim(within(t), []protocol.ShardID{1, 2}, epoch, "server")...)
	}
	t.Run("adopted", func(t *testing.T) {
		cfg := configOf(t, server)
		before, copying := open(t, cfg), open(t, cfg)
		if err := copying.Adopt(within(t), store.Identity{Generation: 7, Key: [16]byte{7}}); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "claim by who opened it before", claiming(before, 9), store.ErrReplaced)
		if last, err := copying.LastEpoch(within(t)); err != nil || last != 0 {
			t.Errorf("it is claimed at epoch %d, %v", last, err)
		}
		if err := claiming(open(t, cfg), 9); err != nil {
			t.Error(err)
		}
	})
	t.Run("used", func(t *testing.T) {
		cfg := configOf(t, server)
		serving, copying := open(t, cfg), open(t, cfg)
		if err := claiming(serving, 1); err != nil {
			t.Fatal(err)
		}
		was := serving.Identity()
		if err := copying.Adopt(within(t), store.Identity{Generation: 7}); err == nil || copying.Identity() != was || open(t, cfg).Identity() != was {
			t.Errorf("%v, identity %+v, want %+v", err, copying.Identity(), was)
		}
		if err := claiming(serving, 2); err != nil {
			t.Error(err)
		}
	})
	t.Run("retired", func(t *testing.T) {
		cfg := configOf(t, server)
		serving, copying := open(t, cfg), open(t, cfg)
		if err := errors.Join(claiming(serving, 1), copying.Retire(within(t))); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "claim by who served from it", claiming(serving, 9), store.ErrReplaced)
		wantErr(t, "append by it", storetest.Append(within(t), serving, []store.Append{{Owner: store.Owner{Shard: 1, Epoch: 9}, User: "u", Entries: []store.Entry{entry("a", 1)}}})[0], store.ErrFenced)
		next := open(t, cfg)
		if a, b := serving.Identity(), next.Identity(); a.Generation == b.Generation {
			t.Errorf("identity %+v, and before %+v", b, a)
		}
		if err := claiming(next, 10); err != nil {
			t.Error(err)
		}
	})
}

// TestAdoptAndClaimAtOnce: never do both succeed.
func TestAdoptAndClaimAtOnce(t *testing.T) {
	cfg := clusterConfig(t, redistest.StartCluster(t, redistest.Options{}))
	cfg.Shards, cfg.DialTimeout = 8, 10*time.Second // the machine may be busy
	for i := range 32 {
		cfg.Prefix = fmt.Sprint("at-once-", i)
		t.Run(fmt.Sprint(i), func(t *testing.T) { adoptAndClaim(t, cfg, i%8) })
	}
}

// adoptAndClaim does both at once; the claimer is some round trips late.
func adoptAndClaim(t *testing.T, cfg Config, late int) {
	serving, copying := open(t, cfg), open(t, cfg)
	was, id := serving.Identity(), store.Identity{Generation: 7, Key: [16]byte{7}}
	var adopting, claiming error
	var both sync.WaitGroup
	both.Go(func() { adopting = copying.Adopt(within(t), id) })
	both.Go(func() {
		for range late {
			_, _ = serving.LastEpoch(within(t))
		}
		claiming = errors.Join(serving.Claim(within(t), []protocol.ShardID{5}, 1, "server")...)
	})
	both.Wait()
	t.Logf("adopt: %v; claim: %v", adopting, claiming)
	got := open(t, cfg).Identity()
	switch {
	case adopting == nil && claiming == nil:
		t.Error("it was adopted and claimed")
	case adopting == nil && got != id:
		t.Errorf("it was adopted, and the identity is %+v", got)
	case claiming == nil && got != was:
		t.Errorf("it was claimed, and the identity is %+v", got)
	}
}

// named is a store with users whose names begin with a prefix of its own.
func named(t *testing.T, s *Store, users int) (want []string) {
	t.Helper()
	all := make([]protocol.ShardID, s.cfg.Shards)
	for i := range all {
		all[i] = protocol.ShardID(i)
	}
	claim(t, s, 1, "first", all...)
	var steps []store.Append
	for i := range users {
		at := store.Owner{Shard: all[i%len(all)], Epoch: 1}
		user := protocol.UserID(fmt.Sprint("user-", i))
		steps = append(steps, store.Append{Owner: at, User: user, Entries: []store.Entry{entry(fmt.Sprint("id-", i), uint64(i+1))}})
		want = append(want, fmt.Sprint(store.ShardUser{Shard: at.Shard, User: user}))
	}
	for part := range slices.Chunk(steps, 500) {
		if err := errors.Join(storetest.Append(within(t), s, part)...); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	return want
}

// list names all users, in pages of limit, with between after each page.
func list(t *testing.T, s *Store, limit int, between func(page int)) (all []string) {
	t.Helper()
	for page, n := "", 1; n == 1 || page != ""; n++ {
		users, next, err := s.Users(within(t), page, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			all = append(all, fmt.Sprint(u))
		}
		if page = next; page != "" {
			between(n)
		}
		if n > 10_000 {
			t.Fatal("there is no end of pages")
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func wantUsers(t *testing.T, got, want []string) {
	t.Helper()
	for _, u := range want {
		if _, ok := slices.BinarySearch(got, u); !ok {
			t.Errorf("%s is not named", u)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d users, want %d", len(got), len(want))
	}
}

// TestUsersOfOneStoreAreNamed where others share the server, and prefixes have what is special in patterns.
func TestUsersOfOneStoreAreNamed(t *testing.T) {
	server := redistest.Single(t, redistest.Options{})
	stores, wants := make(map[string]*Store), make(map[string][]string)
	for i, prefix := range []string{"a", "a*", "[ab]", "b?", `a\`, "bc", "*"} {
		cfg := configOf(t, server)
		cfg.Prefix, cfg.Shards = prefix, 4
		stores[prefix] = open(t, cfg)
		wants[prefix] = named(t, stores[prefix], 10+i)
	}
	for prefix, s := range stores {
		t.Run(prefix, func(t *testing.T) { wantUsers(t, list(t, s, 3, func(int) {}), wants[prefix]) })
	}
}

// TestNoUserIsLeftOutWhereAServerStartsAgain between two pages: its cursors are of the process that is gone.
func TestNoUserIsLeftOutWhereAServerStartsAgain(t *testing.T) {
	for _, kind := range redistest.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			server := redistest.Single(t, redistest.Options{Kind: kind, Config: redistest.Config{"appendonly": "yes", "appendfsync": "always"}})
			s := open(t, configOf(t, server))
			want := named(t, s, 3000)
			wantUsers(t, list(t, s, 500, func(page int) {
				if page == 3 {
					server.Restart(t)
				}
			}), want)
		})
	}
}

// TestNoUserIsLeftOutWhereSlotsMove from a node that is not scanned yet to one that was; while they are on their way nothing is named.
func TestNoUserIsLeftOutWhereSlotsMove(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{})
	cfg := clusterConfig(t, c)
	cfg.Shards = 64
	s := open(t, cfg)
	want := named(t, s, 2000)
	nodes, err := s.scanned(within(t))
	if err != nil {
		t.Fatal(err)
	}
	first, last := nodes[0].addr, nodes[len(nodes)-1].addr
	var to *redistest.Server
	for _, n := range c.Nodes {
		if n.Addr == first {
			to = n
		}
	}
	key := "" // of a shard that the last node has
	for i := 0; key == ""; i++ {
		if n, err := s.nodeOfShard(within(t), protocol.ShardID(i)); err != nil {
			t.Fatal(err)
		} else if n.addr == last {
			key = s.keys[i].claim
		}
	}
	moved, page, got := false, "", []string(nil)
	for n := 1; n == 1 || page != ""; n++ {
		users, next, err := s.Users(within(t), page, 50)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			got = append(got, fmt.Sprint(u))
		}
		page = next
		if at, _ := parseScanPage(page); at.addr == last && !moved {
			moved = true
			m := c.BeginMove(t, key, to)
			m.MoveKeys(t, 1)
			if _, _, err := s.Users(within(t), page, 50); err == nil {
				t.Error("users are named while keys are on their way")
			}
			m.End(t)
		}
	}
	slices.Sort(got)
	wantUsers(t, slices.Compact(got), want)
	if !moved {
		t.Error("no slot has moved")
	}
}

// TestNoUserIsLeftOutWhereAReplicaIsPromoted between two pages.
func TestNoUserIsLeftOutWhereAReplicaIsPromoted(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{})
	cfg := clusterConfig(t, c)
	cfg.Shards, cfg.Durability = 64, Replicas
	s := open(t, cfg)
	want := named(t, s, 2000)
	key := s.keys[0].claim
	wantUsers(t, list(t, s, 100, func(page int) {
		if page == 3 {
			master, _ := c.Serving(t, key)
			master.Kill(t)
			c.AwaitPromoted(t, key, master)
		}
	}), want)
}

// before has something done before the client sends the first pipeline that has a script.
type before struct {
	script *script
	do     func()
}

func (h *before) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (h *before) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }
func (h *before) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		for _, c := range cmds {
			if args := c.Args(); h.do != nil && len(args) > 1 && args[0] == "evalsha" {
				sha, _ := args[1].(string)
				if m, ok := args[1].(*sent); ok {
					sha = string(m.b)
				}
				if sha == string(h.script.sha) {
					do := h.do
					h.do = nil
					do()
				}
			}
		}
		return next(ctx, cmds)
	}
}

// TestAClaimThatHasLookedBeforeAStoreWasAdopted fails, although it is written after it: the claimer's cursors would be no good.
func TestAClaimThatHasLookedBeforeAStoreWasAdopted(t *testing.T) {
	cfg := configOf(t, redistest.Single(t, redistest.Options{}))
	serving, copying := open(t, cfg), open(t, cfg)
	adopted := errors.New("not called")
	serving.single.client.AddHook(&before{claimScript, func() {
		adopted = copying.Adopt(within(t), store.Identity{Generation: 7, Key: [16]byte{7}})
	}})
	err := errors.Join(serving.Claim(within(t), []protocol.ShardID{1}, 1, "server")...)
	if adopted != nil {
		t.Fatal(adopted)
	}
	wantErr(t, "claim", err, store.ErrReplaced)
	wantErr(t, "append", storetest.Append(within(t), serving, []store.Append{step(0, entry("a", 1))})[0], store.ErrFenced)
}

// TestAStoreThatIsClaimedWhileItIsAdopted stays as it was.
func TestAStoreThatIsClaimedWhileItIsAdopted(t *testing.T) {
	cfg := configOf(t, redistest.Single(t, redistest.Options{}))
	serving, copying := open(t, cfg), open(t, cfg)
	was := serving.Identity()
	copying.single.client.AddHook(&before{identityScript, func() { claim(t, serving, 1, "server", 1) }})
	if err := copying.Adopt(within(t), store.Identity{Generation: 7}); err == nil {
		t.Error("it was adopted")
	}
	if a, b, c := copying.Identity(), serving.Identity(), open(t, cfg).Identity(); a != was || b != was || c != was {
		t.Errorf("identities %+v, %+v and %+v, want %+v", a, b, c, was)
	}
	claim(t, serving, 2, "server", 1)
}
