package proxied

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// consoleDevice opens the console's device, and has the browser keep alice's token in the cookie.
func consoleDevice(t *testing.T, chrome context.Context, s *server) *tab {
	t.Helper()
	b := open(t, chrome, "http://"+s.backends+"/device")
	evaluate[string](b, "document.cookie = 'ramen="+token(t, "alice", time.Hour)+"; path=/; SameSite=Strict'")
	return b
}

// openOver presses the button, with these values in the form.
func (b *tab) openOver(transport string, byHand bool) {
	b.t.Helper()
	evaluate[bool](b, fmt.Sprintf(`(() => {
		document.getElementById('transport').value = %q
		document.getElementById('cookies').checked = true
		document.getElementById('byhand').checked = %t
		document.getElementById('open').requestSubmit()
		return true
	})()`, transport, byHand))
}

// messages is what the console's device has shown of messages.
func (b *tab) messages() string {
	b.t.Helper()
	return evaluate[string](b, "document.getElementById('messages').textContent")
}

func (b *tab) untilMessage(text string) {
	b.t.Helper()
	until(b.t, "the device shows "+text, func() bool { return strings.Contains(b.messages(), text) })
}

// TestConsolesDeviceInABrowser: the page is a device over each transport, with the token in a cookie, shows what it gets, and acks it.
// The server counts it by its library.
func TestConsolesDeviceInABrowser(t *testing.T) {
	t.Parallel()
	chrome := browser(t)
	s := serve(t, consolesOrigin)
	b := consoleDevice(t, chrome, s)
	for i, way := range []struct{ option, name string }{{"", "ws-json"}, {"webSocket", "ws-json"}, {"sse", "sse"}, {"eventSource", "eventsource"}, {"longPoll", "poll"}} {
		said := strings.Count(b.log(), "hello on "+way.name)
		b.openOver(way.option, false)
		until(t, "a hello comes over "+way.name, func() bool { return strings.Count(b.log(), "hello on "+way.name) > said })
		if way.name != "poll" { // which has no stream between two answers
			until(t, "the server counts one client of the web", func() bool { return s.clientsOfTheWeb(t) == 1 })
		}
		s.publish(i, i)
		b.untilMessage(`{"id":"` + name(i) + `"}`)
	}
	b.openOver("", true)
	until(t, "the last hello", func() bool { return strings.Count(b.log(), "hello on ws-json") >= 3 })
	s.publish(99, 99)
	b.untilMessage(`{"id":"m-99"}`)
	b.untilMessage("Processed Failed") // the buttons
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if waiting, err := s.publisher.Messages(ctx, "alice"); err != nil || len(waiting) == 0 {
		t.Errorf("a message is acked that nobody has processed: %v", err)
	}
	evaluate[bool](b, "[...document.querySelectorAll('#messages button')].find(b => b.textContent === 'Processed').click(), true")
	s.untilEmpty()
	evaluate[bool](b, "document.getElementById('close').click(), true")
	b.until("closed: closed")
	until(t, "the server counts no client of the web", func() bool { return s.clientsOfTheWeb(t) == 0 })
}

var webClients = regexp.MustCompile(`(?m)^ramen_frontend_clients\{library="web",version="[0-9.]+"\} (\d+)$`)

// clientsOfTheWeb is how many streams of the library web the server counts; -1: it knows no such.
func (s *server) clientsOfTheWeb(t *testing.T) int {
	t.Helper()
	resp, err := http.Get("http://" + s.backends + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := webClients.FindSubmatch(text)
	if m == nil {
		return -1
	}
	n := 0
	_, _ = fmt.Sscan(string(m[1]), &n)
	return n
}

// TestBrowsersCookieIsOfKnownPagesAlone: the same browser has the same cookie; a page of another origin makes its requests with it (the
// host, and so the site, is the same), and is refused, whatever kind of request it is.
func TestBrowsersCookieIsOfKnownPagesAlone(t *testing.T) {
	t.Parallel()
	chrome := browser(t)
	s := serve(t, consolesOrigin)
	known := consoleDevice(t, chrome, s)
	web := newSite(t, time.Hour)
	foreign := open(t, chrome, web.url+"/token") // whatever: it is of that origin, and no device by itself
	script := strings.ReplaceAll(`(async () => {
		const ended = []
		const url = path => 'http://DEVICES' + path + '?device=' + crypto.randomUUID() + '&wait=0'
		ended.push(await fetch(url('/ramen/poll'), { credentials: 'include' }).then(r => 'poll ' + r.status, () => 'poll kept away'))
		ended.push(await new Promise(done => {
			const es = new EventSource(url('/ramen/receive'), { withCredentials: true })
			es.addEventListener('hello', () => { es.close(); done('events hello') })
			es.onerror = () => { es.close(); done('events kept away') }
		}))
		ended.push(await new Promise(done => {
			const ws = new WebSocket(url('/ramen/ws').replace('http', 'ws'))
			ws.onmessage = () => { ws.close(); done('socket hello') }
			ws.onclose = e => done('socket ' + e.code)
		}))
		return ended.join(', ')
	})()`, "DEVICES", s.devices)
	for _, c := range []struct {
		page    *tab
		want    string
		devices int
	}{
		{foreign, "poll kept away, events kept away, socket 1006", 0},
		{known, "poll 200, events hello, socket hello", 3},
	} {
		got, err := chromedp.Run(c.page.ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
		if err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("with the cookie the page got %q, want %q", got, c.want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		known, err := s.publisher.Devices(ctx, "alice")
		cancel()
		if err != nil || len(known) != c.devices {
			t.Errorf("%d devices have opened a stream, want %d: %v", len(known), c.devices, err)
		}
	}
}
