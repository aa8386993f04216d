package linktest

import (
	"fmt"
	"testing"

	"ramen/link"
	"ramen/protocol"
)

// pagesAddUp: pages of any size, put together, are the list: every message once, in the order in which they are pushed.
func pagesAddUp(t *testing.T, g Owned) {
	const each = 20
	var want []string
	for _, p := range []protocol.Priority{protocol.PriorityHigh, protocol.PriorityMedium, protocol.PriorityLow} {
		for i := range each {
			want = append(want, fmt.Sprint(p, i))
		}
	}
	for i := range each { // publishes of all priorities take turns
		for lane := range protocol.Lanes {
			m := g.message("u", want[lane*each+i])
			m.Message.Priority = protocol.LanePriority(lane)
			if r := g.Publish(background, []link.Publish{m}); r[0].Status != link.StatusAccepted {
				t.Fatalf("%+v", r[0])
			}
		}
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		if got := g.list(t, "u", limit, nil); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("pages of %d: %v; want %v", limit, got, want)
		}
	}
	// A recall between two pages takes nothing else out of the list, though a page ends with the recalled one.
	got := g.list(t, "u", 7, func(page int, ids []string) {
		if page != 1 {
			return
		}
		if ok, err := g.Recall(background, g.Route("u"), "u", protocol.MessageID(ids[len(ids)-1])); !ok || err != nil {
			t.Fatal(ok, err)
		}
	})
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("with a recall of the last of a page: %v; want %v", got, want)
	}
	if got := g.list(t, "nobody", 1, nil); len(got) != 0 {
		t.Errorf("messages of a user who has none: %v", got)
	}
}

// pagesAreBounded: a page ends once its payloads are PageBytes.
func pagesAreBounded(t *testing.T, g Owned) {
	for i := range 5 {
		m := g.message("u", fmt.Sprint("m", i))
		m.Message.ContentType, m.Message.Payload = "application/octet-stream", make([]byte, link.PageBytes/2)
		if r := g.Publish(background, []link.Publish{m}); r[0].Status != link.StatusAccepted {
			t.Fatalf("%+v", r[0])
		}
	}
	var sizes []int
	g.list(t, "u", 100, func(_ int, ids []string) { sizes = append(sizes, len(ids)) })
	if fmt.Sprint(sizes) != "[2 2 1]" {
		t.Errorf("pages of %v messages; want [2 2 1]", sizes)
	}
}

// list puts the pages of a user's messages together, and calls after each of them.
func (g Owned) list(t *testing.T, user protocol.UserID, limit int, after func(page int, ids []string)) (all []string) {
	t.Helper()
	p := link.Page{Limit: limit}
	for n := 0; ; n++ {
		page, err := g.Messages(background, g.Route(user), user, p)
		if err != nil || len(page.Messages) > limit || len(page.Messages) == 0 && page.Next != (link.Ref{}) {
			t.Fatalf("page %d of at most %d: %d messages, next %+v, %v", n, limit, len(page.Messages), page.Next, err)
		}
		ids := make([]string, len(page.Messages))
		for i, m := range page.Messages {
			ids[i] = string(m.ID)
		}
		if all = append(all, ids...); n > 1000 {
			t.Fatalf("the list does not end: %v", all[:20])
		}
		if after != nil {
			after(n, ids)
		}
		if page.Next == (link.Ref{}) {
			return all
		}
		p.After = page.Next
	}
}
