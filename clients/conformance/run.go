package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"ramen/protocol"
)

// run is one scenario over one transport.
type run struct {
	scenario  *Scenario
	transport string
	began     time.Time
	slack     time.Duration
	ctx       context.Context
	cancel    context.CancelFunc
	server    *http.Server
	URL       string
	Addr      string
	work      sync.WaitGroup // sections

	mu       sync.Mutex
	news     chan struct{} // guarded by mu: closed and made anew with each change
	lines    []string      // guarded by mu: all that was said
	failures []string      // guarded by mu
	next     int           // guarded by mu: the section of the next opening
	done     []bool        // guarded by mu: sections all of whose steps are done
	greeted  []bool        // guarded by mu: sections whose hello was written
	openings []opening     // guarded by mu
	ends     []time.Time   // guarded by mu: of sections
	last     protocol.Seq  // guarded by mu: the highest that was pushed
	seqs     map[string]protocol.Seq
	acked    protocol.Seq // guarded by mu
	ackCount int          // guarded by mu: acks by request
	polling  *peer        // guarded by mu: whose polls come
	refused  []string     // guarded by mu: tokens
	events   []Event      // guarded by mu: of the client
	read     map[string]int
	did      int  // guarded by mu: what the app has done
	refusal  Step // guarded by mu: the last answer to an opening that was no stream
}

func newRun(ctx context.Context, s *Scenario, transport string, slack time.Duration) (*run, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("conformance: listen: %w", err)
	}
	r := &run{scenario: s, transport: transport, began: time.Now(), slack: slack, news: make(chan struct{}), Addr: l.Addr().String(), URL: "http://" + l.Addr().String(),
		done: make([]bool, len(s.Streams)), greeted: make([]bool, len(s.Streams)), ends: make([]time.Time, len(s.Streams)), seqs: map[string]protocol.Seq{}, read: map[string]int{}}
	r.ctx, r.cancel = context.WithTimeout(ctx, s.Limit+slack)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	r.server = &http.Server{Handler: http.HandlerFunc(r.serve), Protocols: protocols, ConnContext: withConn, ErrorLog: quiet}
	go func() { _ = r.server.Serve(l) }()
	return r, nil
}

// close ends the server and all that is under way.
func (r *run) close() {
	r.cancel()
	_ = r.server.Close()
	r.work.Wait()
}

func (r *run) notef(who, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%8.3f  %-7s %s", time.Since(r.began).Seconds(), who, fmt.Sprintf(format, args...)))
}

// failf notes what is wrong; the run goes on until it can be told whole.
func (r *run) failf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.notef("WRONG", "%s", text)
	r.mu.Lock()
	r.failures = append(r.failures, text)
	r.mu.Unlock()
	r.cancel()
}

func (r *run) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.failures) > 0
}

// changed wakes whoever awaits something.
func (r *run) changed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.news)
	r.news = make(chan struct{})
}

var errOver = errors.New("the run is over")

// await waits until is reports true, for as long as the run lasts and gone is open.
func (r *run) await(gone <-chan struct{}, is func() bool) error {
	for {
		r.mu.Lock()
		news := r.news
		r.mu.Unlock()
		if is() {
			return nil
		}
		select {
		case <-news:
		case <-gone:
			if is() {
				return nil
			}
			return errGone
		case <-r.ctx.Done():
			return errOver
		}
	}
}

// ackCursor takes a place that the device has given.
func (r *run) ackCursor(cursor string) {
	if id, ok := strings.CutPrefix(cursor, "c-"); ok {
		r.mu.Lock()
		seq := r.seqs[id]
		r.mu.Unlock()
		r.ack(seq)
	}
}

func (r *run) ack(seq protocol.Seq) {
	r.notef("device", "acks %d", seq)
	r.mu.Lock()
	beyond := seq > r.last
	r.acked = max(r.acked, seq)
	r.mu.Unlock()
	if beyond {
		r.failf("the device acked %d, which was never pushed", seq)
	}
	r.changed()
}

// serve takes a request of the device's.
func (r *run) serve(w http.ResponseWriter, req *http.Request) {
	switch {
	case req.Method == http.MethodOptions:
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "authorization, content-type, last-event-id")
		w.WriteHeader(http.StatusNoContent)
	case req.URL.Path == "/ramen/ack":
		r.serveAck(w, req)
	case req.URL.Path == "/ramen/receive", req.URL.Path == "/ramen/ws", req.URL.Path == "/ramen/poll", req.URL.Path == "/ramen.v1.Devices/Stream":
		r.serveStream(w, req)
	default:
		http.NotFound(w, req)
	}
}

func (r *run) serveAck(w http.ResponseWriter, req *http.Request) {
	status := http.StatusNoContent
	r.mu.Lock()
	if r.ackCount < len(r.scenario.AckAnswers) {
		status = r.scenario.AckAnswers[r.ackCount]
	}
	r.ackCount++
	r.mu.Unlock()
	w.Header().Set("Access-Control-Allow-Origin", "*")
	r.notef("device", "ack of %s, answered %d", req.URL.Query().Get("cursor"), status)
	switch {
	case status == http.StatusNoContent:
		r.ackCursor(req.URL.Query().Get("cursor"))
		w.WriteHeader(status)
	case status >= 500:
		http.Error(w, "<html><body>the upstream is away</body></html>", status)
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		code := protocol.CodeInvalidArgument
		if status == http.StatusNotFound {
			code = protocol.CodeNotFound
		}
		_, _ = w.Write(protocol.AppendErrorJSON(nil, &protocol.Error{Code: code, Message: "the place is not known"}))
	}
	r.changed()
}

// serveStream plays the next section on a stream that the device opens.
func (r *run) serveStream(w http.ResponseWriter, req *http.Request) {
	if req.URL.Path == "/ramen/poll" && r.nextPoll(w, req) {
		return
	}
	if r.askedOnceMore(req) {
		r.mu.Lock()
		step, at := r.refusal, max(r.next-1, 0)
		r.mu.Unlock()
		o, _ := r.before(req)
		if err := r.early(at, step, &o, w); err != nil {
			r.failf("%v", err)
		}
		return
	}
	at, section := r.section()
	if section == nil {
		r.notef("device", "opens %s", req.URL.Path)
		r.failf("the device opened stream %d, which no section is for", at+1)
		http.Error(w, "the scenario is over", http.StatusServiceUnavailable)
		return
	}
	r.work.Add(1)
	defer r.work.Done()
	r.play(at, section, w, req)
	r.mu.Lock()
	r.ends[at] = time.Now()
	r.mu.Unlock()
	r.changed()
}

// askedOnceMore reports whether an EventSource was refused, and its page asks with fetch what the answer was. C 6.6
func (r *run) askedOnceMore(req *http.Request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.transport == "eventsource" && r.refusal.Verb != "" && req.URL.Path == "/ramen/receive" && req.URL.Query().Get("heartbeat") != "event"
}

// section is the one for the next opening; its number counts from 0.
func (r *run) section() (int, *Section) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.scenario.Streams
	at := r.next
	if at < len(all) {
		if !all[at].Rest {
			r.next++
		}
		return at, &all[at]
	}
	return at, nil
}

// nextPoll hands a poll to the stream that it belongs to.
func (r *run) nextPoll(w http.ResponseWriter, req *http.Request) bool {
	r.mu.Lock()
	p := r.polling
	r.mu.Unlock()
	if p == nil {
		return false
	}
	select {
	case <-p.gone:
		return false
	default:
	}
	p.poll.mu.Lock()
	goesOn := req.URL.Query().Get("cursor") == p.poll.cursor
	p.poll.mu.Unlock()
	if !goesOn { // it begins elsewhere: a new stream
		p.left(true)
		return false
	}
	if err := p.take(w, req); err != nil {
		r.failf("%v", err)
	}
	return true
}

// opened notes an opening, and what holds for all of them.
func (r *run) opened(o *opening) {
	r.notef("device", "opens a stream over %s, cursor %q, token %q", o.kind, o.cursor, o.token)
	r.ackCursor(o.cursor)
	r.mu.Lock()
	r.openings = append(r.openings, *o)
	again := o.token != "" && slices.Contains(r.refused, o.token)
	recent := 0
	for _, other := range r.openings {
		if o.at.Sub(other.at) < time.Second {
			recent++
		}
	}
	r.mu.Unlock()
	if again {
		r.failf("the device sent token %q again, which was refused (C 9.3)", o.token)
	}
	if recent > mostInASecond {
		r.failf("the device opened %d streams within a second (C 7.1)", recent)
	}
}

// mostInASecond is what full jitter hardly ever comes to: pauses drawn below 1, 2, 4, 8, 16 and 30 s all within one second.
const mostInASecond = 6
