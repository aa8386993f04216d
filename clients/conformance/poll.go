package conformance

import (
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"ramen/protocol"
)

// pollPeer makes a stream of one poll after another. A poll that nothing is there for is held until its wait is over, but the first after
// hello, and one that does not wait, which are answered at once.
type pollPeer struct {
	mu     sync.Mutex
	held   *pollRequest // guarded by mu: not answered
	hello  *protocol.Hello
	cursor string // guarded by mu: of what was pushed last, or of the last hello
	mute   bool   // guarded by mu: nothing is answered
}

type pollRequest struct {
	conn net.Conn
	wait time.Duration
	done chan struct{} // closed once it was answered, or the device has left
	once sync.Once
}

func (q *pollRequest) finish() { q.once.Do(func() { close(q.done) }) }

// newPoll is a stream that begins with a poll.
func (r *run) newPoll(w http.ResponseWriter, req *http.Request) (*peer, error) {
	p := &peer{run: r, open: openingOf("poll", req), gone: make(chan struct{}), poll: &pollPeer{mute: true}}
	p.put = func([]byte) error { return nil }
	p.end = func() { p.poll.drop(false) }
	return p, p.take(w, req)
}

// take holds a poll of this stream.
func (p *peer) take(w http.ResponseWriter, req *http.Request) error {
	conn, in, err := hijack(w)
	if err != nil {
		return err
	}
	seconds, _ := strconv.Atoi(req.URL.Query().Get("wait"))
	q := &pollRequest{conn: conn, wait: time.Duration(seconds) * time.Second, done: make(chan struct{})}
	if o := openingOf("poll", req); o.cursor != "" {
		p.run.ackCursor(o.cursor)
	}
	p.conn = conn
	p.poll.mu.Lock()
	p.poll.held = q
	p.poll.mu.Unlock()
	go awaitEnd(in, func() {
		select {
		case <-q.done: // it was answered
		default:
			q.finish()
			p.left(true)
		}
	})
	go p.poll.expire(p, q)
	p.run.changed()
	return nil
}

// expire answers q with nothing once it has waited.
func (l *pollPeer) expire(p *peer, q *pollRequest) {
	t := time.NewTimer(max(q.wait, 20*time.Millisecond))
	defer t.Stop()
	select {
	case <-t.C:
	case <-q.done:
		return
	}
	l.mu.Lock()
	mine := l.held == q && !l.mute
	l.mu.Unlock()
	if mine {
		_ = p.answerPoll(nil, nil)
	}
}

// helloPoll says what the next answer says of the stream; a poll that does not wait has its answer.
func (p *peer) helloPoll(h *protocol.Hello) error {
	l := p.poll
	l.mu.Lock()
	l.hello, l.mute = h, false
	l.cursor = h.Cursor
	q := l.held
	l.mu.Unlock()
	if q != nil {
		go l.expire(p, q)
	}
	return nil
}

// answerPoll waits for a poll and answers it.
func (p *peer) answerPoll(pushes []protocol.Push, away *protocol.GoAway) error {
	q, err := p.awaitPoll()
	if err != nil {
		return err
	}
	q.finish()
	body := p.pollBody(pushes, away)
	answer(q.conn, http.StatusOK, "application/json", "Cache-Control: no-store\r\n", string(body))
	return nil
}

// tricklePoll answers in pieces over a while.
func (p *peer) tricklePoll(pushes []protocol.Push, over time.Duration) error {
	const pieces = 20
	q, err := p.awaitPoll()
	if err != nil {
		return err
	}
	body := p.pollBody(pushes, nil)
	if _, err := q.conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + corsHeaders + "Connection: close\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n")); err != nil {
		return errGone
	}
	for i := range pieces {
		if err := p.run.quiet(over / pieces); err != nil {
			return err
		}
		if i == pieces-1 {
			q.finish()
		}
		if _, err := q.conn.Write(body[len(body)*i/pieces : len(body)*(i+1)/pieces]); err != nil {
			return errGone
		}
	}
	_ = q.conn.Close()
	return nil
}

// partPoll answers half of it.
func (p *peer) partPoll(pushes []protocol.Push) error {
	q, err := p.awaitPoll()
	if err != nil {
		return err
	}
	body := p.pollBody(pushes, nil)
	_, err = q.conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + corsHeaders + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + string(body[:len(body)/2])))
	p.poll.mu.Lock()
	p.poll.held = q // cut ends it
	p.poll.mute = true
	p.poll.mu.Unlock()
	return err
}

func (p *peer) pollBody(pushes []protocol.Push, away *protocol.GoAway) []byte {
	l := p.poll
	l.mu.Lock()
	defer l.mu.Unlock()
	a := &protocol.PollAnswer{Resumed: true, Stream: "s", Messages: pushes, GoAway: away}
	if h := l.hello; h != nil {
		a.Resumed, a.Expired, a.Stream = h.Resumed, h.Expired, h.Stream
		if away == nil {
			l.hello = nil
		}
	}
	if len(pushes) > 0 {
		l.cursor = pushes[len(pushes)-1].Cursor
	}
	a.Cursor = l.cursor
	return protocol.AppendPollAnswer(nil, a)
}

// awaitPoll takes the poll that is held, or waits for the next.
func (p *peer) awaitPoll() (*pollRequest, error) {
	var q *pollRequest
	err := p.run.await(p.gone, func() bool {
		p.poll.mu.Lock()
		defer p.poll.mu.Unlock()
		q, p.poll.held = p.poll.held, nil
		return q != nil
	})
	return q, err
}

// drop ends the poll that is held, or the next, without an answer.
func (l *pollPeer) drop(reset bool) {
	l.mu.Lock()
	q := l.held
	l.held = nil
	l.mu.Unlock()
	if q == nil {
		return
	}
	if tcp, ok := q.conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	q.finish()
	_ = q.conn.Close()
}

// pollLeft waits until no poll has been under way for a while.
func (p *peer) pollLeft() error {
	for {
		if err := p.run.quiet(pollRest); err != nil {
			return err
		}
		select {
		case <-p.gone:
			return nil
		default:
		}
		p.poll.mu.Lock()
		held := p.poll.held != nil
		p.poll.mu.Unlock()
		if !held {
			return nil
		}
	}
}

// pollRest is longer than a client pauses between polls.
const pollRest = 1500 * time.Millisecond
