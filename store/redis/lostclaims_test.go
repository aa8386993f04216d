package redis

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"ramen/internal/testserver/redistest"
	"ramen/protocol"
)

// nextEpoch is the epoch at which a process that opens the store claims shards: as gateway/lease, above all that the claims tell.
func nextEpoch(t *testing.T, s *Store, shards ...protocol.ShardID) (next protocol.Epoch) {
	t.Helper()
	claims, errs := s.Claims(within(t), shards)
	if errs != nil {
		t.Fatal(errs)
	}
	for _, c := range claims {
		next = max(next, c.Epoch, c.Above)
	}
	last, err := s.LastEpoch(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if last < next {
		t.Errorf("the last epoch is %d, by the claims it may be %d", last, next)
	}
	return next + 1
}

// TestLostEpochIsNotGivenAgain: a replica is promoted that lacks the claim itself, and its owner is killed in that lag. What the owner gave at
// that epoch devices may have acked: whoever comes next must not begin at it, or its clock alone would say what is behind their cursors.
func TestLostEpochIsNotGivenAgain(t *testing.T) {
	for _, x := range []struct {
		name   string
		before func(t *testing.T, s *Store) // what the replica has
	}{
		{"BehindAnOlderClaim", func(t *testing.T, s *Store) { claim(t, s, 3, "older", 1, 2) }},
		{"BehindAClaimOfOneShard", func(t *testing.T, s *Store) { claim(t, s, 3, "older", 2) }},
		{"TheFirstOfAll", func(*testing.T, *Store) {}},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := redistest.WithReplicas(t, redistest.Options{}, 1)
			cfg := configOf(t, r.Master)
			older := open(t, cfg)
			x.before(t, older)
			awaitOffset(t, r.Master, r.Replicas[0])
			r.Replicas[0].StopReplication(t)

			owner := open(t, cfg)
			epoch := nextEpoch(t, owner, 1, 2)
			if epoch > 4 {
				t.Errorf("the owner begins at epoch %d, and nothing was lost", epoch)
			}
			claim(t, owner, epoch, "killed", 1, 2)
			promote(t, r.Replicas[0])

			cfg.Addrs = []string{r.Replicas[0].Addr}
			s := open(t, cfg)
			if s.Identity() != owner.Identity() {
				t.Fatal("the promoted replica has another identity: cursors do not count")
			}
			next := nextEpoch(t, s, 1, 2)
			if next <= epoch {
				t.Fatalf("epoch %d is claimed behind epoch %d, which is lost", next, epoch)
			}
			claim(t, s, next, "next", 1, 2)

			// the next one of all is one above: nothing is lost any more
			after := open(t, cfg)
			if got := nextEpoch(t, after, 1, 2); got != next+1 {
				t.Errorf("epoch %d follows %d", got, next)
			}
		})
	}
}

// TestLostEpochOfAClusterIsNotGivenAgain: the same where the cluster promotes by itself, once the master is killed.
func TestLostEpochOfAClusterIsNotGivenAgain(t *testing.T) {
	c := redistest.StartCluster(t, redistest.Options{})
	cfg := clusterConfig(t, c)
	owner := open(t, cfg)
	claim(t, owner, 3, "older", 1)
	key := owner.keys[1].claim
	master, replicas := c.Serving(t, key)
	lag(t, master, replicas[0])
	claim(t, owner, 4, "killed", 1)
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	master.Kill(t)
	c.AwaitPromoted(t, key, master)
	s := open(t, cfg)
	awaitSo(t, "claims are read", func() error {
		claims, errs := s.Claims(within(t), []protocol.ShardID{1})
		if err := errors.Join(errs...); err != nil {
			return err
		}
		if claims[0].Epoch != 3 || claims[0].Above < 4 {
			t.Errorf("the promoted replica has %+v", claims[0])
		}
		return nil
	})
}

// TestTwoFailOversEachLoseAClaim: a replica is promoted that lacks the claim of an owner, and then another one that lacks that of the next owner, too.
// Both owners have found the same claim, or none; the third must begin above both, since the devices of all three may come back to it.
func TestTwoFailOversEachLoseAClaim(t *testing.T) {
	for _, x := range []struct {
		name   string
		before func(t *testing.T, s *Store) // what both replicas have
	}{
		{"BehindAnOlderClaim", func(t *testing.T, s *Store) { claim(t, s, 3, "older", 1, 2) }},
		{"BehindAClaimOfOneShard", func(t *testing.T, s *Store) { claim(t, s, 3, "older", 2) }},
		{"TheFirstOfAll", func(*testing.T, *Store) {}},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := redistest.WithReplicas(t, redistest.Options{}, 2)
			cfg := configOf(t, r.Master)
			first := open(t, cfg)
			x.before(t, first)
			for _, replica := range r.Replicas {
				awaitOffset(t, r.Master, replica)
				replica.StopReplication(t)
			}
			// not across the second in which lostAbove begins anew
			awaitSo(t, "a period has begun", func() error {
				if left := lostPeriod - time.Now().Unix()%lostPeriod; left < 30 {
					return fmt.Errorf("it ends in %d s", left)
				}
				return nil
			})
			epoch := nextEpoch(t, first, 1, 2)
			claim(t, first, epoch, "first", 1, 2)
			for i, replica := range r.Replicas {
				began := time.Now().Unix()
				awaitSo(t, "a fail-over takes a second", func() error {
					if time.Now().Unix() == began {
						return errors.New("it is the same second")
					}
					return nil
				})
				promote(t, replica)
				cfg.Addrs = []string{replica.Addr}
				s := open(t, cfg)
				if s.Identity() != first.Identity() {
					t.Fatal("the promoted replica has another identity: cursors do not count")
				}
				next := nextEpoch(t, s, 1, 2)
				if next <= epoch {
					t.Fatalf("after fail-over %d epoch %d is claimed behind epoch %d, which is lost", i+1, next, epoch)
				}
				claim(t, s, next, fmt.Sprint("next-", i), 1, 2)
				epoch = next
			}
		})
	}
}

// TestOwnerThatOutlivesTheFailOverKeepsItsEpoch: it claims again at its own epoch, and then nothing is lost.
func TestOwnerThatOutlivesTheFailOverKeepsItsEpoch(t *testing.T) {
	r := redistest.WithReplicas(t, redistest.Options{}, 1)
	front := startProxy(t, r.Master.Addr)
	cfg := configOf(t, r.Master)
	cfg.Addrs = []string{front.addr()}
	s := open(t, cfg)
	claim(t, s, 3, "first", 1)
	awaitOffset(t, r.Master, r.Replicas[0])
	r.Replicas[0].StopReplication(t)
	claim(t, s, 4, "first", 1)
	promote(t, r.Replicas[0])
	front.turn(r.Replicas[0].Addr)
	claims, errs := s.Claims(within(t), []protocol.ShardID{1})
	if errs != nil || claims[0].Epoch != 3 || claims[0].Above < 4 {
		t.Fatalf("claims %+v, %v", claims, errs)
	}
	claim(t, s, 4, "first", 1)
	claims, errs = s.Claims(within(t), []protocol.ShardID{1})
	if errs != nil || claims[0].Epoch != 4 || claims[0].Above != 0 {
		t.Errorf("claimed again: %+v, %v", claims, errs)
	}
}

// TestLostEpochsGrow: of two fail-overs that find the same claim, the first of which is lost as well, the second goes on above the first.
func TestLostEpochsGrow(t *testing.T) {
	at := time.Unix(1_700_000_000-1_700_000_000%lostPeriod, 0)
	for _, epoch := range []protocol.Epoch{0, 1, 7, 1 << 20} {
		last := epoch
		for ; at.Unix()%lostPeriod < lostPeriod-1; at = at.Add(time.Second) {
			next := lostAbove(epoch, at)
			if next <= last || next < epoch+epochsLost || next >= epoch+epochsLost+lostPeriod || next >= anyEpoch(at) {
				t.Fatalf("behind epoch %d: %d, and a second later %d; any %d", epoch, last, next, anyEpoch(at))
			}
			last = next
		}
		at = at.Add(time.Second)
	}
}
