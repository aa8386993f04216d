package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	"ramen/protocol"
)

// pollDevice makes a stream of the answers of long-polls: each further poll begins where the last answer ended, which acks it.
// Only the last push of an answer has a cursor.
type pollDevice struct {
	s      *server
	at     place
	ctx    context.Context
	cancel context.CancelFunc

	frames []protocol.ServerFrame
	stream string      // of the latest answer
	over   bool        // a goaway came
	quick  bool        // polls wait as short as may be
	left   atomic.Bool // no further poll
}

func (s *server) dialPoll(p place) (device, error) {
	d := &pollDevice{s: s, at: p}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	a, err := d.ask(p.wait)
	if err != nil {
		d.cancel()
		return nil, err
	}
	// A hello is made of what every answer has. Without a push nobody can tell the seq: then it is asked for again.
	h := protocol.Hello{Resumed: a.Resumed, Stream: a.Stream, Expired: a.Expired}
	if len(a.Messages) > 0 {
		h.Seq = a.Messages[0].Seq - 1
	} else {
		h.Cursor = a.Cursor
	}
	d.frames = append([]protocol.ServerFrame{{Kind: protocol.ServerHello, Hello: h}}, d.frames...)
	return d, nil
}

// ask polls once, and takes the answer's frames.
func (d *pollDevice) ask(wait int) (*protocol.PollAnswer, error) {
	q := d.at.query()
	q.Set("wait", strconv.Itoa(wait))
	req, err := http.NewRequestWithContext(d.ctx, "GET", d.s.deviceURL("/ramen/poll?"+q.Encode()), nil)
	if err != nil {
		return nil, err
	}
	if d.at.origin != "" {
		req.Header.Set("Origin", d.at.origin)
	}
	resp, err := d.s.web.Do(req)
	if err != nil {
		return nil, &ending{err: err}
	}
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, &ending{err: err}
	}
	a, err := protocol.DecodePollAnswer(body)
	if err != nil {
		return nil, err
	}
	if a.Cursor == "" || a.Stream == "" {
		return nil, errors.New("an answer without cursor or stream: " + string(body))
	}
	for i, p := range a.Messages {
		if want := a.Messages[0].Seq + protocol.Seq(i); p.Seq != want {
			return nil, fmt.Errorf("push %q has seq %d, want %d: %s", p.Message.ID, p.Seq, want, body)
		}
		p.Cursor = ""
		if i == len(a.Messages)-1 {
			p.Cursor = a.Cursor
		}
		d.frames = append(d.frames, protocol.ServerFrame{Kind: protocol.ServerPush, Push: p})
	}
	if a.GoAway != nil {
		if len(a.Messages) > 0 {
			return nil, errors.New("goaway with messages: " + string(body))
		}
		d.frames = append(d.frames, protocol.ServerFrame{Kind: protocol.ServerGoAway, GoAway: *a.GoAway})
	} else {
		d.at.cursor, d.at.seq, d.at.hasSeq, d.at.stream = a.Cursor, 0, false, ""
	}
	d.stream = a.Stream
	return a, nil
}

func (d *pollDevice) next() (protocol.ServerFrame, error) {
	defer watch(d.cancel)()
	for len(d.frames) == 0 {
		if d.over || d.left.Load() {
			return protocol.ServerFrame{}, &ending{}
		}
		wait := 25
		if d.quick {
			wait = 0
		}
		if _, err := d.ask(wait); err != nil {
			return protocol.ServerFrame{}, err
		}
	}
	f := d.frames[0]
	d.frames = d.frames[1:]
	d.over = d.over || f.Kind == protocol.ServerGoAway
	return f, nil
}

// ack acks at once, as a device may that does not poll again soon.
func (d *pollDevice) ack(seq protocol.Seq) error { return d.s.ackBeside(d.at, seq, d.stream) }

func (d *pollDevice) echo(protocol.ServerFrame) {}

func (d *pollDevice) send(protocol.DeviceFrame) error {
	return errors.New("there is no way back in a poll")
}

func (d *pollDevice) close() { d.cancel() }
