package linkgrpc

import (
	"context"
	"errors"
	"sync"
	"time"

	"ramen/link"
	"ramen/link/linkgrpc/frame"
	"ramen/protocol"
)

// call is one call under way.
type call struct {
	opening bool          // a stream has its id
	done    chan struct{} // holds a value once there is an answer
	answer  answer
}

var callPool = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

// answer is what any call is answered.
type answer struct {
	err     error
	opened  link.Opened
	results []link.Result
	n       uint64
	devices []link.Device
	page    link.MessagePage
}

// errEnded is the answer of a link that ended first. What it means to the caller depends on whether the call had gone out.
var errEnded = errors.New("linkgrpc: the link has ended")

// read takes the answer out of its frame. An answer that cannot be read is none: its outcome is unknown.
func (a *answer) read(f *frame.Frame) (err error) {
	switch f.Kind {
	case frame.KindOpened:
		a.opened, err = frame.Opened(f.Body)
	case frame.KindResults:
		a.results, err = frame.Results(f.Body)
	case frame.KindDone:
		a.n = f.Value
	case frame.KindDeviceList:
		a.devices, err = frame.DeviceList(f.Body)
	case frame.KindMessagePage:
		a.page, err = frame.MessagePage(f.Body)
	case frame.KindError:
		a.err = frame.Error(f.Body)
		if errors.Is(a.err, frame.ErrMalformed) {
			err = a.err
		}
	}
	if err != nil {
		a.err = link.ErrLost
	}
	return err
}

// request is a call to make.
type request struct {
	bytes     int            // that it takes of the link's room, roughly
	encode    encodeCall     // appends its frame
	publishes []link.Publish // where encode is nil
	receiver  link.Receiver  // of an open, else nil
	gen       link.Generation
	prompt    bool // the stream's acks are sent at once
}

type encodeCall func(b []byte, id uint64, timeout time.Duration) []byte

// callCost is what a call takes of the link's room beside its texts, in bytes.
const callCost = 512

// call asks the gateway, and waits for the answer or the caller's end. The stream is that of an open.
func (l *Link) call(ctx context.Context, r request) (answer, *stream, error) {
	a := l.standing.Load()
	if a == nil {
		return answer{}, nil, link.ErrNotSent
	}
	bytes := min(int64(r.bytes+callCost), int64(l.client.cfg.CallBytes))
	if a.room.Acquire(ctx, bytes) != nil {
		return answer{}, nil, link.ErrNotSent // nothing went out, and nobody waits any more
	}
	a.metrics.calls.Inc()
	a.metrics.callBytes.Add(bytes)
	defer func() {
		a.metrics.calls.Dec()
		a.metrics.callBytes.Add(-bytes)
		a.room.Release(bytes)
	}()
	return a.call(ctx, r)
}

func (a *attachment) call(ctx context.Context, r request) (answer, *stream, error) {
	timeout := time.Duration(0)
	if deadline, ok := ctx.Deadline(); ok {
		timeout = time.Until(deadline)
	}
	if err := ctx.Err(); err != nil {
		return answer{}, nil, err
	}
	c := callPool.Get().(*call)
	c.opening = r.receiver != nil
	id, s, ok := a.register(c, r)
	if !ok {
		return answer{}, nil, link.ErrNotSent
	}
	at, sent := a.put(r, id, timeout)
	select {
	case <-c.done:
	case <-ctx.Done():
		if a.giveUp(id) {
			callPool.Put(c)
			a.cancelCall(id, s != nil)
			return answer{}, nil, ctx.Err()
		}
		<-c.done // the answer came in the same moment
	}
	got := c.answer
	c.answer = answer{}
	callPool.Put(c)
	switch {
	case got.err == errEnded && sent && a.out.sent(at):
		got.err = link.ErrLost
	case got.err == errEnded:
		got.err = link.ErrNotSent
	}
	return got, s, got.err
}

// put sends a request. It answers the batch with its last part, without which the gateway does nothing; false where the link takes
// nothing more: then the call is answered by its end.
func (a *attachment) put(r request, id uint64, timeout time.Duration) (at uint64, ok bool) {
	if r.encode != nil {
		return a.out.put(func(b []byte) []byte { return r.encode(b, id, timeout) })
	}
	for rest, more := r.publishes, true; more; {
		part := rest[:partOf(rest)]
		rest = rest[len(part):]
		more = len(rest) > 0
		at, ok = a.out.put(func(b []byte) []byte { return frame.AppendPublish(b, id, timeout, part, more) })
	}
	return at, ok
}

// partBytes is where a part of a batch of publishes ends, so that what others have to say goes in between.
const partBytes = 1 << 20

// partOf is how many publishes make the next part: one at least, where there is any.
func partOf(batch []link.Publish) int {
	bytes := 0
	for i := range batch {
		if bytes += publishBytes(batch[i : i+1]); bytes > partBytes && i > 0 {
			return i
		}
	}
	return len(batch)
}

// register gives a call its id, and the stream that it opens; false where the link has ended.
func (a *attachment) register(c *call, r request) (id uint64, s *stream, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return 0, nil, false
	}
	a.lastID++
	id = a.lastID
	a.calls[id] = c
	if r.receiver != nil {
		s = &stream{a: a, id: id, receiver: r.receiver, generation: r.gen, prompt: r.prompt}
		a.streams[id] = s
		a.metrics.streams.Inc()
	}
	return id, s, true
}

// giveUp takes a call back; false where it has been answered.
func (a *attachment) giveUp(id uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, is := a.calls[id]
	if !is {
		return false
	}
	delete(a.calls, id)
	if c.opening {
		delete(a.streams, id)
		a.metrics.streams.Dec()
	}
	return true
}

// cancelCall tells the gateway that nobody waits any more. A stream that it may have opened is closed.
func (a *attachment) cancelCall(id uint64, opening bool) {
	a.out.put(func(b []byte) []byte {
		if opening {
			return frame.AppendClose(b, id, protocol.ReasonUnavailable)
		}
		return frame.AppendCancel(b, id)
	})
}

// Publish implements link.Gateway.
func (l *Link) Publish(ctx context.Context, batch []link.Publish) []link.Result {
	got, _, err := l.call(ctx, request{bytes: publishBytes(batch), publishes: batch})
	if err == nil && len(got.results) == len(batch) {
		return got.results
	}
	if err == nil {
		err = errShort
	}
	results := make([]link.Result, len(batch))
	for i := range results {
		results[i] = link.Result{Status: link.StatusRejected, Err: err}
	}
	return results
}

var errShort = errors.New("linkgrpc: the gateway answered a publish with another number of results")

// publishBytes is what a batch takes while it is under way.
func publishBytes(batch []link.Publish) (n int) {
	for i := range batch {
		p := &batch[i]
		n += len(p.User) + 64
		if i == 0 || p.Message != batch[i-1].Message {
			n += p.Message.Size() + 256
		}
	}
	return n
}

// Open implements link.Gateway.
func (l *Link) Open(ctx context.Context, o link.Open, r link.Receiver) (link.Stream, link.Opened, error) {
	prompt := o.Window > 0 && o.Window < 2*promptAcks
	got, s, err := l.call(ctx, request{receiver: r, gen: o.Generation, prompt: prompt, bytes: len(o.Sent) * 64, encode: func(b []byte, id uint64, timeout time.Duration) []byte {
		return frame.AppendOpen(b, id, timeout, &o)
	}})
	if err != nil {
		return nil, link.Opened{}, err
	}
	return s, got.opened, nil
}

// Ack implements link.Gateway.
func (l *Link) Ack(ctx context.Context, ack link.Ack) error {
	_, _, err := l.call(ctx, request{encode: func(b []byte, id uint64, timeout time.Duration) []byte {
		return frame.AppendAck(b, id, timeout, &ack)
	}})
	return err
}

// Devices implements link.Gateway.
func (l *Link) Devices(ctx context.Context, at link.Route, user protocol.UserID) ([]link.Device, error) {
	got, _, err := l.call(ctx, request{encode: func(b []byte, id uint64, timeout time.Duration) []byte {
		return frame.AppendDevices(b, id, timeout, frame.Mailbox{Route: at, User: user})
	}})
	return got.devices, err
}

// Messages implements link.Gateway. The page that comes back is counted as the call's.
func (l *Link) Messages(ctx context.Context, at link.Route, user protocol.UserID, p link.Page) (link.MessagePage, error) {
	got, _, err := l.call(ctx, request{bytes: 2 * link.PageBytes, encode: func(b []byte, id uint64, timeout time.Duration) []byte {
		return frame.AppendMessages(b, id, timeout, frame.Mailbox{Route: at, User: user}, p)
	}})
	return got.page, err
}

// Recall implements link.Gateway.
func (l *Link) Recall(ctx context.Context, at link.Route, user protocol.UserID, id protocol.MessageID) (bool, error) {
	got, _, err := l.call(ctx, request{encode: func(b []byte, call uint64, timeout time.Duration) []byte {
		return frame.AppendRecall(b, call, timeout, frame.Mailbox{Route: at, User: user}, id)
	}})
	return got.n != 0, err
}

// Disconnect implements link.Gateway.
func (l *Link) Disconnect(ctx context.Context, at link.Route, user protocol.UserID, device protocol.DeviceID, detail string) (int, error) {
	got, _, err := l.call(ctx, request{encode: func(b []byte, id uint64, timeout time.Duration) []byte {
		return frame.AppendDisconnect(b, id, timeout, frame.Mailbox{Route: at, User: user}, device, detail)
	}})
	return int(got.n), err
}
