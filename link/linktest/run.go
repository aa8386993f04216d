package linktest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"ramen/link"
	"ramen/protocol"
)

// Run checks that what wrap makes of a gateway carries every call as package link promises. wrap cleans up with t.
func Run(t *testing.T, wrap func(t *testing.T, gw link.Gateway) link.Gateway) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, gw *scripted, l link.Gateway)
	}{
		{"PublishArrivesUnchanged", publishArrives},
		{"PublishAnswersUnchanged", publishAnswers},
		{"ConcurrentPublishesGetTheirOwnAnswers", concurrentPublishes},
		{"AckArrivesUnchanged", ackArrives},
		{"ListsArriveUnchanged", listsArrive},
		{"RecallAndDisconnectArriveUnchanged", recallArrives},
		{"ErrorsArriveUnchanged", errorsArrive},
		{"CanceledCallReturns", canceledCall},
		{"DeadlineArrives", deadlineArrives},
		{"AbandonedPublishIsNotOvertaken", abandonedPublish},
		{"PublishesKeepTheirOrder", publishesOfAll},
		{"OpenArrivesUnchanged", openArrives},
		{"RefusedOpenTellsNothing", refusedOpen},
		{"PushesArriveInOrderAndUnchanged", pushesArrive},
		{"NoCreditBeforeItIsGiven", noCredit},
		{"StreamCallsArriveInOrder", streamCalls},
		{"ReceiverMayCallItsStream", reentrant},
		{"EndFollowsWhatWasPushed", endFollows},
		{"EveryReasonArrives", everyReason},
		{"EveryReasonOfACloseArrives", everyCloseReason},
		{"LostArrives", lostArrives},
		{"GenerationsStayApart", generationsStayApart},
		{"AckedKeepsItsPlace", ackedKeepsPlace},
		{"NothingAfterClose", nothingAfterClose},
		{"EndComesAfterAMove", endAfterMove},
		{"StreamsDoNotMix", streamsDoNotMix},
		{"LargeMessagesPass", largeMessages},
	} {
		t.Run(c.name, func(t *testing.T) {
			gw := new(scripted)
			c.test(t, gw, wrap(t, gw))
		})
	}
}

var background = context.Background()

var route = link.Route{Shard: 1023, Epoch: 1<<40 + 7}

func fullMessage(id string) *protocol.Message {
	return &protocol.Message{
		ID: protocol.MessageID(id), Type: "trip.offer", Priority: protocol.PriorityLow, Payload: []byte(`{"fare":12.50,"ü":"\u0000"}`),
		ContentType: "application/json", CreatedMS: 1763762400123, ExpiresMS: 1763762460123, CollapseKey: "trip/7", Headers: map[string]string{"trace": "a=b", "empty": ""},
	}
}

func fullContext() *protocol.DeviceContext {
	return &protocol.DeviceContext{App: "rider", AppVersion: "1.2.3", OS: "iOS", OSVersion: "19", Model: "iPhone18,2", Locale: "zh-Hant", Labels: map[string]string{"plan": "gold", "x": ""}}
}

func publishes() []link.Publish {
	return []link.Publish{
		{Route: route, User: "user one", Device: "dev/1", Where: map[string]string{"os": "iOS", "label.plan": "gold"}, Message: fullMessage("m1"), TTLMS: 86_400_000},
		{Route: link.Route{Shard: 0, Epoch: 1}, User: "用戶", Message: &protocol.Message{ID: "m2", Priority: protocol.PriorityHigh, ContentType: "image/png", Payload: []byte{0, 255, 10}}, TTLMS: 1},
		{Route: route, User: "u", Message: &protocol.Message{ID: "m3", Priority: protocol.PriorityMedium, ContentType: protocol.ContentTypeJSON}, TTLMS: 1000},
	}
}

// same compares, with nothing and empty being one.
func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if g, w := plain(got), plain(want); !reflect.DeepEqual(g, w) {
		t.Errorf("%s: %s\nwant %s", what, g, w)
	}
}

func plain(v any) string {
	s := fmt.Sprintf("%+v", flat(v))
	return strings.ReplaceAll(s, "map[]", "[]")
}

// flat replaces the pointers of the contract's values by what they point to, so that they print.
func flat(v any) any {
	switch v := v.(type) {
	case []link.Publish:
		var list []any
		for _, p := range v {
			m := p.Message
			p.Message = nil
			list = append(list, p, *m)
		}
		return list
	case link.Open:
		c := v.Context
		v.Context = nil
		return []any{v, flat(c)}
	case *protocol.DeviceContext:
		if v == nil {
			return protocol.DeviceContext{}
		}
		return *v
	case []link.Device:
		var list []any
		for _, d := range v {
			c := d.Context
			d.Context = nil
			list = append(list, d, flat(c))
		}
		return list
	case []*protocol.Message:
		var list []any
		for _, m := range v {
			list = append(list, *m)
		}
		return list
	case []protocol.Push:
		var list []any
		for _, p := range v {
			m := p.Message
			p.Message = nil
			list = append(list, p, *m)
		}
		return list
	}
	return v
}

func sameError(t *testing.T, what string, got, want error) {
	t.Helper()
	var g, w *protocol.Error
	if errors.As(want, &w) {
		if !errors.As(got, &g) || *g != *w {
			t.Errorf("%s: error %v; want %+v", what, got, *w)
		}
		return
	}
	var gn, wn *link.NotOwnerError
	if errors.As(want, &wn) && (!errors.As(got, &gn) || *gn != *wn) || !errors.Is(got, sentinel(want)) {
		t.Errorf("%s: error %v; want %v", what, got, want)
	}
}

// sentinel is what callers branch on: a NotOwnerError is an ErrNotOwner.
func sentinel(err error) error {
	if errors.Is(err, link.ErrNotOwner) {
		return link.ErrNotOwner
	}
	return err
}

// refusals are the errors that must cross a link as they are.
func refusals() []error {
	list := []error{
		link.ErrNotOwner,
		&link.NotOwnerError{Reason: protocol.ReasonRebalance, Below: 1<<62 + 1},
		&link.NotOwnerError{Reason: protocol.ReasonUnavailable},
	}
	for _, c := range []protocol.Code{
		protocol.CodeInvalidArgument, protocol.CodeUnauthenticated, protocol.CodePermissionDenied, protocol.CodeNotFound,
		protocol.CodeTooLarge, protocol.CodeResourceExhausted, protocol.CodeUnavailable, protocol.CodeInternal,
	} {
		list = append(list, &protocol.Error{Code: c, Message: "wrong: " + string(c) + "\nright: ü"})
	}
	return append(list, &protocol.Error{Code: protocol.CodeResourceExhausted, Message: "later", RetryAfter: 1500 * time.Millisecond})
}

func publishArrives(t *testing.T, gw *scripted, l link.Gateway) {
	var got []link.Publish
	gw.publish = func(_ context.Context, batch []link.Publish) []link.Result {
		got = append(got, batch...)
		return make([]link.Result, len(batch))
	}
	l.Publish(background, publishes())
	same(t, "batch", got, publishes())
}

func publishAnswers(t *testing.T, gw *scripted, l link.Gateway) {
	want := []link.Result{{Status: link.StatusAccepted, Devices: 3}, {Status: link.StatusDuplicate}}
	for _, err := range refusals() {
		want = append(want, link.Result{Status: link.StatusRejected, Err: err})
	}
	gw.publish = func(_ context.Context, batch []link.Publish) []link.Result { return want[:len(batch)] }
	batch := make([]link.Publish, len(want))
	for i := range batch {
		batch[i] = publishes()[i%3]
	}
	got := l.Publish(background, batch)
	if len(got) != len(want) {
		t.Fatalf("%d results; want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Status != want[i].Status || got[i].Devices != want[i].Devices {
			t.Errorf("result %d: %+v; want %+v", i, got[i], want[i])
		}
		if want[i].Err != nil || got[i].Err != nil {
			sameError(t, fmt.Sprint("result ", i), got[i].Err, want[i].Err)
		}
	}
}

func concurrentPublishes(t *testing.T, gw *scripted, l link.Gateway) {
	gw.publish = func(_ context.Context, batch []link.Publish) []link.Result {
		results := make([]link.Result, len(batch))
		for i := range batch {
			results[i] = link.Result{Status: link.StatusAccepted, Devices: int(batch[i].TTLMS)}
		}
		return results
	}
	done := make(chan struct{})
	for g := range 16 {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range 50 {
				p := publishes()
				for k := range p {
					p[k].TTLMS = int64(g*1000 + i*10 + k)
				}
				for k, r := range l.Publish(background, p) {
					if r.Status != link.StatusAccepted || r.Devices != int(p[k].TTLMS) {
						t.Errorf("result %+v; want %d", r, p[k].TTLMS)
					}
				}
			}
		}()
	}
	for range 16 {
		<-done
	}
}

func ackArrives(t *testing.T, gw *scripted, l link.Gateway) {
	var got link.Ack
	gw.ack = func(_ context.Context, a link.Ack) error { got = a; return nil }
	for _, a := range []link.Ack{
		{Route: route, User: "u", Device: "d", Cursor: "k3.1"},
		{Route: route, User: "u", Device: "d", Seq: protocol.MaxSeq, Name: "s1.2"},
		{Route: route, User: "u", Device: "d", Name: "s1.2"},
	} {
		if err := l.Ack(background, a); err != nil {
			t.Error(err)
		}
		same(t, "ack", got, a)
	}
}

func listsArrive(t *testing.T, gw *scripted, l link.Gateway) {
	devices := []link.Device{
		{ID: "a", Online: true, Transport: protocol.TransportPoll, Context: fullContext(), ConnectedMS: 5, LastSeenMS: 1 << 42, Pending: 9, Unacked: 8, RTTMS: 7},
		{ID: "b"},
	}
	messages := []*protocol.Message{fullMessage("m1"), {ID: "m2", Priority: protocol.PriorityHigh, ContentType: "x/y"}}
	gw.devices = func(at link.Route, user protocol.UserID) ([]link.Device, error) {
		if at != route || user != "u" {
			t.Errorf("devices of %q at %+v", user, at)
		}
		return devices, nil
	}
	pages := map[link.Page]link.MessagePage{
		{Limit: 2}: {Messages: messages, Next: link.Ref{Priority: protocol.PriorityHigh, Position: protocol.Position{Epoch: 1 << 62, Micros: 1<<64 - 1}}},
		{Limit: 7, After: link.Ref{Priority: protocol.PriorityLow, Position: protocol.Position{Epoch: 3, Micros: 1}}}: {Messages: messages[1:]},
	}
	gw.messages = func(at link.Route, user protocol.UserID, p link.Page) (link.MessagePage, error) {
		page, ok := pages[p]
		if at != route || user != "u" || !ok {
			t.Errorf("messages of %q at %+v, %+v", user, at, p)
		}
		return page, nil
	}
	got, err := l.Devices(background, route, "u")
	if err != nil {
		t.Error(err)
	}
	same(t, "devices", got, devices)
	for p, want := range pages {
		page, err := l.Messages(background, route, "u", p)
		if err != nil {
			t.Error(err)
		}
		same(t, "messages", page.Messages, want.Messages)
		same(t, "next", page.Next, want.Next)
	}
}

func recallArrives(t *testing.T, gw *scripted, l link.Gateway) {
	gw.recall = func(at link.Route, user protocol.UserID, id protocol.MessageID) (bool, error) {
		return at == route && user == "u" && id == "m", nil
	}
	gw.disconnect = func(at link.Route, user protocol.UserID, device protocol.DeviceID, detail string) (int, error) {
		if at != route || user != "u" || detail != "because" {
			t.Errorf("disconnect of %q at %+v: %q", user, at, detail)
		}
		return 3 + len(device), nil
	}
	for id, want := range map[protocol.MessageID]bool{"m": true, "n": false} {
		if ok, err := l.Recall(background, route, "u", id); ok != want || err != nil {
			t.Errorf("recall of %s: %v, %v", id, ok, err)
		}
	}
	for _, d := range []protocol.DeviceID{"", "d"} {
		if n, err := l.Disconnect(background, route, "u", d, "because"); n != 3+len(d) || err != nil {
			t.Errorf("disconnect of %q: %d, %v", d, n, err)
		}
	}
}

func errorsArrive(t *testing.T, gw *scripted, l link.Gateway) {
	for _, want := range refusals() {
		gw.ack = func(context.Context, link.Ack) error { return want }
		gw.devices = func(link.Route, protocol.UserID) ([]link.Device, error) { return nil, want }
		gw.messages = func(link.Route, protocol.UserID, link.Page) (link.MessagePage, error) {
			return link.MessagePage{}, want
		}
		gw.recall = func(link.Route, protocol.UserID, protocol.MessageID) (bool, error) { return false, want }
		gw.disconnect = func(link.Route, protocol.UserID, protocol.DeviceID, string) (int, error) { return 0, want }
		sameError(t, "ack", l.Ack(background, link.Ack{Cursor: "k"}), want)
		_, err := l.Devices(background, route, "u")
		sameError(t, "devices", err, want)
		_, err = l.Messages(background, route, "u", link.Page{Limit: 1})
		sameError(t, "messages", err, want)
		_, err = l.Recall(background, route, "u", "m")
		sameError(t, "recall", err, want)
		_, err = l.Disconnect(background, route, "u", "", "")
		sameError(t, "disconnect", err, want)
	}
}

func canceledCall(t *testing.T, gw *scripted, l link.Gateway) {
	reached, ended := make(chan struct{}, 1), make(chan struct{})
	gw.ack = func(ctx context.Context, _ link.Ack) error {
		reached <- struct{}{}
		<-ctx.Done()
		close(ended)
		return ctx.Err()
	}
	ctx, cancel := context.WithCancel(background)
	answer := make(chan error, 1)
	go func() { answer <- l.Ack(ctx, link.Ack{Cursor: "k"}) }()
	<-reached
	cancel()
	select {
	case err := <-answer:
		if !errors.Is(err, context.Canceled) && !errors.Is(err, link.ErrLost) {
			t.Errorf("canceled call: %v", err)
		}
	case <-time.After(Patience):
		t.Error("a canceled call does not return")
	}
	receive(t, ended) // the gateway need not go on
}

// deadlineArrives: the gateway has as long as the caller, and no call that it holds outlives that.
func deadlineArrives(t *testing.T, gw *scripted, l link.Gateway) {
	ended := make(chan error, 1)
	gw.ack = func(ctx context.Context, _ link.Ack) error {
		if _, has := ctx.Deadline(); !has {
			t.Error("the gateway knows no deadline")
		}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(background, 50*time.Millisecond)
	defer cancel()
	if err := l.Ack(ctx, link.Ack{Cursor: "k"}); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, link.ErrLost) {
		t.Errorf("the call whose time is over: %v", err)
	}
	receive(t, ended)
	gw.ack = func(ctx context.Context, _ link.Ack) error {
		if _, has := ctx.Deadline(); has {
			t.Error("the gateway knows a deadline where the caller has none")
		}
		return nil
	}
	if err := l.Ack(background, link.Ack{Cursor: "k"}); err != nil {
		t.Error(err)
	}
}
