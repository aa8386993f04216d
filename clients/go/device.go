package ramen

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"ramen/clients/go/wire"
	"ramen/protocol"
)

// Device holds a stream to the server, and opens it again, until it is told to stop.
type Device struct {
	// immutable
	cfg     DeviceConfig
	dialer  *wire.Dialer
	tokens  *tokens
	inbox   *inbox
	handler *handler // owned by the goroutine that Run starts for it
	saver   *saver
	count   counters
	rand    func(n int64) int64 // of pauses; nil: math/rand/v2

	mu        sync.Mutex
	running   bool                    // guarded by mu
	cursor    string                  // guarded by mu: of the last push processed, or of the hello before it
	context   *protocol.DeviceContext // guarded by mu
	state     StateChange             // guarded by mu
	doublings int                     // guarded by mu: how often the silence allowed is doubled. SPEC 2.8.4
	changed   chan struct{}           // one token: context has changed
	network   Network                 // guarded by mu: what SetNetwork said last
	told      chan struct{}           // one token: of the network, or that Reconnect was called
	hurry     bool                    // guarded by mu: Reconnect was called
	renewed   bool                    // guarded by mu: the network is another one

	background context.CancelFunc // guarded by mu: ends what Start began
	ended      chan struct{}      // guarded by mu: closed once that has ended
	result     error              // guarded by ended
}

// New makes a device. It does nothing until Run or Start.
func New(cfg DeviceConfig) (*Device, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.complete()
	d := &Device{
		cfg:     cfg,
		dialer:  cfg.dialer(),
		tokens:  &tokens{ask: cfg.Token, limit: cfg.ConnectTimeout},
		inbox:   newInbox(),
		context: named(cfg.Context),
		changed: make(chan struct{}, 1),
		network: Network{Online: true},
		told:    make(chan struct{}, 1),
	}
	d.saver = &saver{d: d, wake: make(chan struct{}, 1)}
	d.handler = &handler{d: d}
	return d, nil
}

// Run keeps the device connected until ctx ends (its error is ctx's) or the server's wish is final: ErrSuperseded,
// ErrDisconnected, ErrInvalid, and, where there is no Token to ask, ErrUnauthenticated and ErrPermissionDenied. It returns
// once the handler has returned and its last ack is sent or given up. It may be called again after that.
func (d *Device) Run(ctx context.Context) error {
	d.mu.Lock()
	if d.running {
		d.mu.Unlock()
		return ErrRunning
	}
	d.running = true
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.running = false
		d.mu.Unlock()
	}()
	d.load(ctx)
	err := newKeeper(d).run(ctx)
	d.enter(StateChange{State: StateStopped, Err: err})
	return err
}

// load finds the place where the device stood. One that cannot be read costs duplicates, no message: that is no reason
// to be without pushes.
func (d *Device) load(ctx context.Context) {
	if d.cfg.Cursors == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	cursor, err := d.cfg.Cursors.Load(ctx)
	if err != nil {
		d.fault("store", err)
		d.cfg.Logger.Warn("the cursor could not be loaded; waiting messages come again", "device", d.cfg.Device, "err", err)
		return
	}
	if protocol.ValidCursor(cursor) {
		d.mu.Lock()
		d.cursor = cursor
		d.mu.Unlock()
	}
}

// Start is Run in the background, until Close.
func (d *Device) Start() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.background != nil {
		return ErrRunning
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	d.background, d.ended = cancel, ended
	go func() {
		defer close(ended)
		d.result = d.Run(ctx)
	}()
	return nil
}

// Wait waits until what Start began has ended, and says why. After Close it is nil.
func (d *Device) Wait() error {
	d.mu.Lock()
	ended := d.ended
	d.mu.Unlock()
	if ended == nil {
		return nil
	}
	<-ended
	if errors.Is(d.result, context.Canceled) {
		return nil
	}
	return d.result
}

// Close ends what Start began and waits for it. It answers why it had ended before, if it had.
func (d *Device) Close() error {
	d.mu.Lock()
	cancel := d.background
	d.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	err := d.Wait()
	d.mu.Lock()
	d.background = nil
	d.mu.Unlock()
	return err
}

// SetContext replaces what the device says of itself: on the open stream, by the next poll, or (SSE) by a next stream that
// replaces the open one.
func (d *Device) SetContext(c *DeviceContext) error {
	if err := protocol.CheckContext(c); err != nil {
		return fmt.Errorf("ramen: set context: %w", err)
	}
	d.mu.Lock()
	d.context = named(c)
	d.mu.Unlock()
	select {
	case d.changed <- struct{}{}:
	default:
	}
	return nil
}

// open is the device's part of an open frame, as of now.
func (d *Device) open(token string) *protocol.OpenFrame {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &protocol.OpenFrame{
		User:        protocol.UserID(d.cfg.User),
		Device:      protocol.DeviceID(d.cfg.Device),
		Cursor:      d.cursor,
		Context:     d.context,
		Token:       token,
		Window:      uint32(d.cfg.Window),
		HeartbeatMS: uint32(d.cfg.Heartbeat.Milliseconds()),
	}
}

// latestContext is what the device says of itself now.
func (d *Device) latestContext() *protocol.DeviceContext {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.context
}

// enter changes the state. Called by Run's goroutine alone.
func (d *Device) enter(c StateChange) {
	d.mu.Lock()
	d.state = c
	d.mu.Unlock()
	if d.cfg.OnState != nil {
		d.cfg.OnState(c)
	}
}
