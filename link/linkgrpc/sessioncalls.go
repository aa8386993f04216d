package linkgrpc

import (
	"context"
	"time"

	"ramen/link"
	"ramen/link/linkgrpc/frame"
	"ramen/protocol"
)

// onPublish makes a call of its parts.
func (l *session) onPublish(f *frame.Frame) error {
	before := l.parts[f.ID]
	batch, more, err := frame.Publish(before, f.Body, &l.words)
	if err != nil {
		return err
	}
	if more {
		l.parts[f.ID] = batch
		return nil
	}
	delete(l.parts, f.ID)
	p := &publishCall{from: l, id: f.ID, batch: batch}
	if f.Timeout > 0 {
		p.until = time.Now().Add(f.Timeout)
	}
	l.metrics.calls.Inc()
	l.server.sequence.add(p)
	return nil
}

// answerPublish answers a publish.
func (l *session) answerPublish(id uint64, results []link.Result) {
	l.metrics.calls.Dec()
	l.out.put(func(b []byte) []byte { return frame.AppendResults(b, id, results) })
}

// task is one call that a gateway is asked. It answers by a frame.
type task func(ctx context.Context) (answer func(b []byte) []byte)

// onCall has the gateway asked. What it does not know it ignores: it is of a newer version.
func (l *session) onCall(f *frame.Frame) error {
	t, err := l.taskOf(f)
	if err != nil || t == nil {
		return err
	}
	var ctx context.Context
	var cancel context.CancelFunc
	if f.Timeout > 0 {
		ctx, cancel = context.WithTimeout(l.ctx, f.Timeout)
	} else {
		ctx, cancel = context.WithCancel(l.ctx)
	}
	id := f.ID
	l.mu.Lock()
	l.cancels[id] = cancel
	l.mu.Unlock()
	l.metrics.calls.Inc()
	l.calls.Go(func() {
		answer := t(ctx)
		l.mu.Lock()
		delete(l.cancels, id)
		l.mu.Unlock()
		cancel()
		l.metrics.calls.Dec()
		if answer != nil {
			l.out.put(answer)
		}
	})
	return nil
}

// taskOf is what f asks; nil where that is nothing.
func (l *session) taskOf(f *frame.Frame) (task, error) {
	g, id := l.server.gateway, f.ID
	switch f.Kind {
	case frame.KindOpen:
		o, err := frame.Open(f.Body)
		return func(ctx context.Context) func([]byte) []byte { return l.openStream(ctx, id, o) }, err
	case frame.KindAck:
		a, err := frame.Ack(f.Body)
		return func(ctx context.Context) func([]byte) []byte { return done(id, 0, g.Ack(ctx, a)) }, err
	case frame.KindDevices:
		m, err := frame.Devices(f.Body)
		return func(ctx context.Context) func([]byte) []byte {
			devices, err := g.Devices(ctx, m.Route, m.User)
			return answered(id, err, func(b []byte) []byte { return frame.AppendDeviceList(b, id, devices) })
		}, err
	case frame.KindMessages:
		m, p, err := frame.Messages(f.Body)
		return func(ctx context.Context) func([]byte) []byte {
			page, err := g.Messages(ctx, m.Route, m.User, p)
			return answered(id, err, func(b []byte) []byte { return frame.AppendMessagePage(b, id, &page) })
		}, err
	case frame.KindRecall:
		m, message, err := frame.Recall(f.Body)
		return func(ctx context.Context) func([]byte) []byte {
			found, err := g.Recall(ctx, m.Route, m.User, message)
			n := 0
			if found {
				n = 1
			}
			return done(id, n, err)
		}, err
	case frame.KindDisconnect:
		m, device, detail, err := frame.Disconnect(f.Body)
		return func(ctx context.Context) func([]byte) []byte {
			n, err := g.Disconnect(ctx, m.Route, m.User, device, detail)
			return done(id, n, err)
		}, err
	}
	return nil, nil
}

func answered(id uint64, err error, answer func([]byte) []byte) func([]byte) []byte {
	if err != nil {
		return func(b []byte) []byte { return frame.AppendError(b, id, err) }
	}
	return answer
}

func done(id uint64, n int, err error) func([]byte) []byte {
	return answered(id, err, func(b []byte) []byte { return frame.AppendDone(b, id, n) })
}

// openStream opens a stream at the gateway. The frontend may have given it up meanwhile, or the link may have ended: then it is closed.
func (l *session) openStream(ctx context.Context, id uint64, o link.Open) func([]byte) []byte {
	s := &serverStream{session: l, id: id}
	inner, opened, err := l.server.gateway.Open(ctx, o, s)
	if err != nil {
		return func(b []byte) []byte { return frame.AppendError(b, id, err) }
	}
	l.mu.Lock()
	if l.ended || l.cancels[id] == nil {
		l.mu.Unlock()
		inner.Close(protocol.ReasonUnavailable)
		return nil
	}
	s.inner = inner
	l.streams[id] = s
	l.metrics.streams.Inc()
	l.mu.Unlock()
	s.begin(&opened)
	return nil
}
