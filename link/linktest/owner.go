package linktest

import (
	"errors"
	"testing"

	"ramen/link"
	"ramen/protocol"
)

// calls are those of a gateway that need an owner, each at the route at.
func (g Owned) calls(t *testing.T, at link.Route) map[string]error {
	t.Helper()
	m := g.message("u", "m1")
	m.Route = at
	errs := map[string]error{"publish": g.Publish(background, []link.Publish{m})[0].Err}
	silent := newRecorder(t)
	silent.over = true // any call is one too many
	_, _, errs["open"] = g.Open(background, link.Open{Route: at, User: "u", Device: "d"}, silent)
	errs["ack"] = g.Ack(background, link.Ack{Route: at, User: "u", Device: "d", Cursor: "k"})
	_, errs["devices"] = g.Devices(background, at, "u")
	_, errs["messages"] = g.Messages(background, at, "u", link.Page{Limit: 10})
	_, errs["recall"] = g.Recall(background, at, "u", "m2")
	_, errs["disconnect"] = g.Disconnect(background, at, "u", "", "")
	return errs
}

// notOwned fails unless every call at the route is refused, and says what bounds Below.
func (g Owned) notOwned(t *testing.T, at link.Route, least, most protocol.Epoch) {
	t.Helper()
	for call, err := range g.calls(t, at) {
		sameError(t, call, err, link.ErrNotOwner)
		below := protocol.Epoch(0)
		if not, ok := errors.AsType[*link.NotOwnerError](err); ok {
			below = not.Below
		}
		if below < least || below > most {
			t.Errorf("%s at epoch %d: ask nobody below %d; want %d to %d", call, at.Epoch, below, least, most)
		}
	}
}

// anotherEpoch: who asks at an older epoch is told which is served now; who is ahead of the gateway is told nothing that
// keeps him from the owner that he knows.
func anotherEpoch(t *testing.T, g Owned) {
	own := g.Route("u")
	ahead, behind := own, own
	ahead.Epoch++
	behind.Epoch--
	g.notOwned(t, ahead, 0, ahead.Epoch)
	g.notOwned(t, behind, own.Epoch, own.Epoch)
	g.notOwned(t, link.Route{Shard: 1 << 31, Epoch: own.Epoch}, 0, own.Epoch)

	m := g.message("u", "m1")
	m.Route = ahead
	res := g.Publish(background, []link.Publish{m, g.message("u", "m2")})
	sameError(t, "publish", res[0].Err, link.ErrNotOwner)
	if res[1].Status != link.StatusAccepted {
		t.Errorf("the other of the batch: %+v", res[1])
	}
}

// releasedShard: streams of a shard that is given up are lost, and whoever asks is sent to a later owner.
func releasedShard(t *testing.T, g Owned) {
	if g.Release == nil {
		t.Skip("this gateway cannot be asked to give up a shard")
	}
	own := g.Route("u")
	r := newRecorder(t)
	s, _ := g.open(t, "u", "d", r)
	s.Credit(1 << 20)
	g.accept(t, "u", "m1")
	r.wait("the push", func() bool { return len(r.pushes) == 1 })
	g.Release()
	r.wait("the loss", func() bool { return r.over })
	if want := (link.Loss{Reason: protocol.ReasonRebalance, Below: own.Epoch + 1}); r.loss != want || r.order[len(r.order)-1] != "lost" {
		t.Errorf("calls are %v, the loss is %+v; want %+v", r.order, r.loss, want)
	}
	g.notOwned(t, own, own.Epoch+1, own.Epoch+1)
	s.Close(protocol.ReasonGone) // too late: nothing happens
}
