package presence

import (
	"errors"
	"reflect"
	"sync"
	"testing"

	"ramen/store"
)

// TestWhatIsUnreadIsNotAbsent: each owner is read once an epoch, and one that cannot be read counts as present.
func TestWhatIsUnreadIsNotAbsent(t *testing.T) {
	var mu sync.Mutex
	times := make(map[string]int)
	r := New(func(owner string) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		times[owner]++
		if owner == "unread" {
			return false, errors.New("no answer")
		}
		return owner == "there", nil
	})
	claims := []store.Claimed{{}, {Epoch: 1, Owner: "there"}, {Epoch: 1, Owner: "gone"}, {Epoch: 1, Owner: "unread"}, {Epoch: 1, Owner: "there"}, {Epoch: 2, Owner: "there"}}
	for _, c := range claims {
		r.Ask(c)
	}
	r.Fill(claims)
	want := []store.Claimed{{}, {Epoch: 1, Owner: "there", Present: true}, {Epoch: 1, Owner: "gone"}, {Epoch: 1, Owner: "unread", Present: true, PresenceUnread: true},
		{Epoch: 1, Owner: "there", Present: true}, {Epoch: 2, Owner: "there", Present: true}}
	if !reflect.DeepEqual(claims, want) {
		t.Errorf("claims %+v, want %+v", claims, want)
	}
	if want := map[string]int{"there": 2, "gone": 1, "unread": 1}; !reflect.DeepEqual(times, want) {
		t.Errorf("read %v times, want %v", times, want)
	}
}
