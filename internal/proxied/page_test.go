package proxied

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// evaluate runs a script in the page and answers its value.
func evaluate[T any](b *tab, script string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script))
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return value
}

// until waits until the page has shown text.
func (b *tab) until(text string) {
	b.t.Helper()
	until(b.t, "the page shows "+text, func() bool { return strings.Contains(b.log(), text) })
}

// The page remembers the last 1,000 ids, and no more; a reload goes on at its place, and handles nothing again. A tab that has
// the id of another takes its stream, and the other stays away.
func TestFix11PageKeepsItsPlaceAndItsBounds(t *testing.T) {
	t.Parallel()
	chrome := browser(t)
	web := newSite(t, time.Hour)
	s := serve(t, web.url)
	web.gateway.Store("http://" + s.devices)
	b := open(t, chrome, web.url)
	b.until("connected, resumed: false")
	for from := 1; from <= 1100; from += 100 {
		s.publish(from, from+99)
	}
	b.wants(1100)
	if n := evaluate[int](b, "seen.size"); n != 1000 {
		t.Errorf("the page remembers %d ids, want 1000", n)
	}
	if err := chromedp.Do(b.ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	b.until("connected, resumed: true")
	s.untilEmpty()
	if ids := b.ids(); len(ids) != 0 {
		t.Errorf("after a reload %d messages were handled again", len(ids))
	}
	copied := open(t, chrome, web.url)
	evaluate[string](copied, "sessionStorage.ramenDevice = '"+evaluate[string](b, "device")+"'")
	if err := chromedp.Do(copied.ctx, chromedp.Reload()); err != nil {
		t.Fatal(err)
	}
	copied.until("connected, ")
	b.until("closed for good: superseded")
}

// A page whose token has ended asks for another, and closes for good where there is none; and where it is forbidden.
func TestFix11PageRenewsItsTokenOrStops(t *testing.T) {
	t.Parallel()
	chrome := browser(t)
	web := newSite(t, 2*time.Second)
	s := serve(t, web.url)
	web.gateway.Store("http://" + s.devices)
	b := open(t, chrome, web.url)
	until(t, "the page is connected with a third token", func() bool { return strings.Count(b.log(), "connected, ") >= 3 })
	web.fixed.Store(token(t, "alice", time.Second))
	b.until("closed for good: unauthenticated: the token was refused, and there is no other")

	// An opening that is refused by its status: an EventSource says only that it is closed.
	web.fixed.Store(pinned(t, "alice", "another-device"))
	forbidden := open(t, chrome, web.url)
	forbidden.until("closed for good: permission_denied")
}
