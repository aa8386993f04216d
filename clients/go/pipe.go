package ramen

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"ramen/protocol/ramenpb"
)

// pipe is one PublishStream. Those who wait are in the order of their requests, and so are the answers.
type pipe struct {
	stream grpc.BidiStreamingClient[ramenpb.PublishRequest, ramenpb.PublishResponse]
	cancel context.CancelFunc
	done   chan struct{} // closed by the reader

	sending sync.Mutex // one sender at a time; held across I/O, and taken before mu

	mu      sync.Mutex
	waiting []chan piped // guarded by mu; oldest first
	err     error        // guarded by mu: why it broke
}

type piped struct {
	resp *ramenpb.PublishResponse
	err  error
}

var errPipeEnded = errors.New("ramen: publish stream has ended")

func newPipe(s grpc.BidiStreamingClient[ramenpb.PublishRequest, ramenpb.PublishResponse], cancel context.CancelFunc) *pipe {
	p := &pipe{stream: s, cancel: cancel, done: make(chan struct{})}
	go p.read()
	return p
}

func (p *pipe) exchange(ctx context.Context, req *ramenpb.PublishRequest) (*ramenpb.PublishResponse, error) {
	answer := make(chan piped, 1)
	if err := p.send(req, answer); err != nil {
		return nil, err
	}
	select {
	case a := <-answer:
		return a.resp, a.err
	case <-ctx.Done():
		p.cancel() // an answer that is overdue holds up those behind it: all of them try again elsewhere
		return nil, ctx.Err()
	}
}

func (p *pipe) send(req *ramenpb.PublishRequest, answer chan piped) error {
	p.sending.Lock()
	defer p.sending.Unlock()
	p.mu.Lock()
	if p.err != nil {
		p.mu.Unlock()
		return p.err
	}
	p.waiting = append(p.waiting, answer)
	p.mu.Unlock()
	if err := p.stream.Send(req); err != nil && !errors.Is(err, io.EOF) {
		p.cancel() // io.EOF: the reader has the cause
	}
	return nil // the reader answers either way
}

func (p *pipe) read() {
	defer close(p.done)
	for {
		resp, err := p.stream.Recv()
		if err != nil {
			p.fail(err)
			return
		}
		p.mu.Lock()
		if len(p.waiting) == 0 {
			p.mu.Unlock()
			p.fail(errors.New("ramen: publish stream: an answer without a request"))
			return
		}
		answer := p.waiting[0]
		p.waiting = p.waiting[1:]
		p.mu.Unlock()
		answer <- piped{resp: resp}
	}
}

// fail answers all who wait: what became of their messages is unknown.
func (p *pipe) fail(err error) {
	if errors.Is(err, io.EOF) {
		err = errPipeEnded
	}
	p.cancel()
	p.mu.Lock()
	p.err = err
	waiting := p.waiting
	p.waiting = nil
	p.mu.Unlock()
	for _, answer := range waiting {
		answer <- piped{err: err}
	}
}

func (p *pipe) broken() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err != nil
}

func (p *pipe) close() {
	p.cancel()
	<-p.done
}
