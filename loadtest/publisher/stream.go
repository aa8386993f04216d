package publisher

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
)

// pipe takes requests and gives their answers in order, as []byte.
type pipe interface {
	SendMsg(m any) error
	RecvMsg(m any) error
}

// stream is a pipe of publishes, opened anew where it has broken. SPEC 7.3.1
type stream struct {
	cfg   *Config
	open  func(ctx context.Context) (pipe, error) // it ends with ctx
	end   func()
	slots chan struct{} // a token a request under way

	mu      sync.Mutex
	call    pipe               // guarded by mu; nil: to be opened
	cancel  context.CancelFunc // guarded by mu
	waiting []asked            // guarded by mu; oldest first
	reading sync.WaitGroup
}

// asked is a request without its answer.
type asked struct {
	b        *batch
	answered func(*batch, []result)
}

const (
	publishStream = "/ramen.v1.Backend/PublishStream"
	underWay      = 64 // requests of one stream
	reopenPause   = 100 * time.Millisecond
)

// newStream publishes over a PublishStream.
func newStream(cfg *Config, to string) (*stream, error) {
	creds := insecure.NewCredentials()
	if cfg.TLS != nil {
		creds = credentials.NewTLS(cfg.TLS)
	}
	client, err := grpc.NewClient(to, grpc.WithTransportCredentials(creds), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{})))
	if err != nil {
		return nil, err
	}
	open := func(ctx context.Context) (pipe, error) {
		if cfg.Key != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+cfg.Key)
		}
		return client.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, publishStream)
	}
	end := func() { _ = client.Close() } // its only error is that it was closed before
	return &stream{cfg: cfg, open: open, end: end, slots: make(chan struct{}, underWay)}, nil
}

func (s *stream) send(ctx context.Context, b *batch, answered func(*batch, []result)) error {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	if s.call == nil {
		if err := s.openLocked(); err != nil {
			s.mu.Unlock()
			<-s.slots
			answered(b, unanswered(b))
			return Pause(ctx, reopenPause)
		}
	}
	call := s.call
	s.waiting = append(s.waiting, asked{b, answered})
	s.mu.Unlock()
	// An error here is told to the reader, too, which knows the cause and answers for what is under way.
	_ = call.SendMsg(request(s.cfg, b))
	return nil
}

func (s *stream) openLocked() error {
	ctx, cancel := context.WithCancel(context.Background())
	call, err := s.open(ctx)
	if err != nil {
		cancel()
		return err
	}
	s.call, s.cancel = call, cancel
	s.reading.Go(func() { s.read(call, cancel) })
	return nil
}

// read takes answers until the stream breaks.
func (s *stream) read(call pipe, cancel context.CancelFunc) {
	var in []byte
	for {
		err := call.RecvMsg(&in)
		var results []result
		if err == nil {
			results, err = readResponse(in)
		}
		s.mu.Lock()
		if err == nil && (len(s.waiting) == 0 || len(s.waiting[0].b.names) != len(results)) {
			err = errors.New("publisher: an answer to no request")
		}
		if err != nil {
			lost := s.waiting
			s.waiting, s.call = nil, nil
			cancel()
			s.mu.Unlock()
			for _, a := range lost {
				a.answered(a.b, unanswered(a.b))
				<-s.slots
			}
			return
		}
		a := s.waiting[0]
		s.waiting = s.waiting[1:]
		s.mu.Unlock()
		a.answered(a.b, results)
		<-s.slots
	}
}

// flush waits until every slot is free.
func (s *stream) flush(ctx context.Context) error {
	for taken := range underWay {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			for range taken {
				<-s.slots
			}
			return ctx.Err()
		}
	}
	for range underWay {
		<-s.slots
	}
	return nil
}

func (s *stream) close() {
	s.mu.Lock()
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	s.reading.Wait()
	s.end()
}

func unanswered(b *batch) []result {
	all := make([]result, len(b.names))
	for i := range all {
		all[i].code = unknown
	}
	return all
}

// Pause waits for d, or answers why ctx has ended before.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rawCodec hands protobuf bytes through. What is sent must not be used again: grpc-go writes it later.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
