package proxied

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// site serves clients/web/page.html, told where the gateway is and to ask for tokens, which are good for a few seconds.
type site struct {
	url     string
	ttl     time.Duration
	gateway atomic.Value // string: where it is
	fixed   atomic.Value // string: the only token that there is; none: a new one each time
}

// newSite is not an httptest.Server: browsers keep connections to it that its Close would wait for.
func newSite(t testing.TB, ttl time.Duration) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{url: "http://" + l.Addr().String(), ttl: ttl}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, _ *http.Request) {
		text, fixed := s.fixed.Load().(string)
		if !fixed {
			text = token(t, "alice", s.ttl)
		}
		_, _ = io.WriteString(w, text)
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, s.page(t))
	})
	server := &http.Server{Handler: mux}
	var served sync.WaitGroup
	served.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		served.Wait()
	})
	return s
}

func (s *site) page(t testing.TB) string {
	text, err := os.ReadFile("../../clients/web/page.html")
	if err != nil {
		t.Error(err)
	}
	page := string(text)
	for _, pair := range [][2]string{
		{"const server = 'http://127.0.0.1:8080'\n", "const server = '" + s.gateway.Load().(string) + "'\n"},
		{"const newToken = null ", "const newToken = async () => (await fetch('/token')).text() "},
	} {
		if strings.Count(page, pair[0]) != 1 {
			t.Errorf("page.html has not one %q, which this test replaces", pair[0])
		}
		page = strings.Replace(page, pair[0], pair[1], 1)
	}
	return page
}

// browser starts a Chromium without a window.
func browser(t testing.TB) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.IgnoreCertErrors, chromedp.ExecPath(needs(t, "chromium")))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start chromium: %v", err)
	}
	return ctx
}

// tab is a page in the browser.
type tab struct {
	t   testing.TB
	ctx context.Context
}

func open(t testing.TB, in context.Context, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(in)
	t.Cleanup(cancel)
	b := &tab{t, ctx}
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the page shows:\n%s", b.log())
		}
	})
	return b
}

// log is what the page has shown so far.
func (b *tab) log() string {
	text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("document.getElementById('log').textContent"))
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

var shown = regexp.MustCompile(`(?m)^medium n: {"id":"(m-\d+)"}$`)

// ids are the messages that the page has handled.
func (b *tab) ids() []string {
	var ids []string
	for _, m := range shown.FindAllStringSubmatch(b.log(), -1) {
		ids = append(ids, m[1])
	}
	return ids
}

// wants waits until the page has handled the messages up to to, each once.
func (b *tab) wants(to int) {
	b.t.Helper()
	until(b.t, "the page has all messages", func() bool { return len(b.ids()) >= to })
	count := make(map[string]int)
	for _, id := range b.ids() {
		count[id]++
	}
	for n := 1; n <= to; n++ {
		if count[name(n)] != 1 {
			b.t.Errorf("%s was handled %d times", name(n), count[name(n)])
		}
	}
	if len(count) != to {
		b.t.Errorf("%d messages were handled, %d were published", len(count), to)
	}
}

// steady publishes a message every now and then until it is told to stop; then it says how many there were.
func (s *server) steady() (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			late, cancel := context.WithTimeout(context.Background(), patience)
			err := s.publishOne(late, n+1)
			cancel()
			if err != nil {
				s.t.Errorf("publish: %v", err)
				return
			}
			n++
		}
	}()
	return func() int {
		cancel()
		<-done
		return n
	}
}

// The page of clients/web in a real browser, two tabs of it, behind each proxy: through a kill of the server, a restart in order,
// a path that swallows everything for 10 s, and the end of its token every few seconds, each message is handled once, and acks
// leave. After a disconnect it stays away. BROWSER_ROUNDS=n goes round n times, with eight tabs: more than a browser has
// connections to one host over HTTP/1.1.
func TestFix11PageBehindEachProxy(t *testing.T) {
	t.Parallel()
	chrome := browser(t)
	rounds, tabs := 1, 2
	if n, err := strconv.Atoi(os.Getenv("BROWSER_ROUNDS")); err == nil {
		rounds, tabs = n, 8
	}
	t.Run("behind", func(t *testing.T) {
		for _, k := range kinds {
			t.Run(k.name, func(t *testing.T) {
				t.Parallel()
				needs(t, k.name)
				testPage(t, chrome, k, rounds, tabs)
			})
		}
	})
}

func testPage(t *testing.T, chrome context.Context, k kind, rounds, n int) {
	web := newSite(t, 15*time.Second)
	s := serve(t, web.url)
	p := behind(t, k, s)
	network := to(t, p.addr)
	web.gateway.Store("https://" + network.addr)
	var tabs tabs
	for range n {
		b := open(t, chrome, web.url)
		until(t, "the page is connected", func() bool { return strings.Contains(b.log(), "connected, resumed: false") })
		tabs = append(tabs, b)
	}
	tabs.connect("a restart while nothing was pushed", func() { s.Stop(t); s.start() })
	stop := s.steady()
	for range rounds {
		tabs.connect("a kill", func() { s.Kill(); s.start() })
		tabs.connect("a restart", func() { s.Stop(t); s.start() })
		tabs.connect("a black hole", func() {
			network.swallow()
			<-time.After(10 * time.Second)
			network.heal()
		})
	}
	published := stop()
	for _, b := range tabs {
		b.wants(published)
		if log := b.log(); strings.Count(log, "resumed: false") != 1 {
			t.Errorf("the page was not resumed:\n%s", log)
		}
	}
	s.untilEmpty()
	p.keepsNoToken()
	tabs.disconnected(s)
	t.Logf("%d messages came to %d tabs, each once", published, n)
}

// tabs are all pages of one test.
type tabs []*tab

// connect does what opens or cuts the streams, and waits until all pages have new ones.
func (all tabs) connect(what string, do func()) {
	t := all[0].t
	t.Helper()
	hellos := func(b *tab) int { return strings.Count(b.log(), "connected, ") }
	before := make([]int, len(all))
	for i, b := range all {
		before[i] = hellos(b)
	}
	began := time.Now()
	do()
	for i, b := range all {
		until(t, "the page is connected after "+what, func() bool { return hellos(b) > before[i] })
	}
	t.Logf("connected after %s, in %.1f s", what, time.Since(began).Seconds())
}

// disconnected ends alice's streams by a backend's wish, again where a page was about to open one: that is final.
func (all tabs) disconnected(s *server) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, b := range all {
		until(s.t, "the page is closed", func() bool {
			if _, err := s.publisher.Disconnect(ctx, "alice", "", "signed out"); err != nil {
				s.t.Fatal(err)
			}
			return strings.HasSuffix(b.log(), "closed for good: disconnected\n")
		})
	}
}
