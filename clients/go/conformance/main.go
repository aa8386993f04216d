// Command conformance is the Go client's adapter to the suite for clients: clients/conformance/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"time"

	ramen "ramen/clients/go"
	"ramen/clients/go/conformance/fakes"
)

type command struct {
	Do, Client, URL, GRPC, User, Device, Store string
	Transports                                 []ramen.Transport
	Tokens                                     []string
	Handler                                    map[string]fakes.Script
	Window                                     int
	HeartbeatMS                                int `json:"heartbeat_ms"`
	ConnectTimeoutMS                           int `json:"connect_timeout_ms"`
	FallbackAfter                              int `json:"fallback_after"`
	PreferAfterMS                              int `json:"prefer_after_ms"`
	Context                                    *ramen.DeviceContext
}

type client struct {
	device  *ramen.Device
	cancel  context.CancelFunc
	tokens  *fakes.Tokens
	dropped bool
}

var (
	mu      sync.Mutex // of all below, and of what is written
	out     = json.NewEncoder(os.Stdout)
	clients = map[string]*client{}
	stores  = fakes.Stores{}
)

func tell(name, event string, more map[string]any) {
	mu.Lock()
	defer mu.Unlock()
	if c := clients[name]; c != nil && c.dropped {
		return
	}
	m := map[string]any{"client": name, "event": event}
	for k, v := range more {
		m[k] = v
	}
	_ = out.Encode(m)
}

// names are the transports', as the suite has them.
var names = map[ramen.Transport]string{ramen.WS: "ws-proto", ramen.WSProto: "ws-proto", ramen.WSJSON: "ws-json", ramen.SSE: "sse", ramen.Poll: "poll", ramen.GRPC: "grpc"}

// reasons are the words of the errors that end a client.
var reasons = map[error]string{ramen.ErrSuperseded: "superseded", ramen.ErrDisconnected: "disconnected", ramen.ErrUnauthenticated: "unauthenticated",
	ramen.ErrPermissionDenied: "permission_denied", ramen.ErrInvalid: "invalid_argument", context.Canceled: "closed"}

func main() {
	_ = out.Encode(map[string]any{"adapter": "go", "version": ramen.Version, "transports": []string{"ws-json", "ws-proto", "sse", "poll", "grpc"}, "can": []string{"network", "freeze"}})
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var c command
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			panic(err)
		}
		mu.Lock()
		at := clients[c.Client]
		mu.Unlock()
		switch {
		case c.Do == "start":
			start(&c)
		case at == nil:
		case c.Do == "close":
			at.cancel()
		case c.Do == "crash":
			mu.Lock()
			at.dropped = true
			mu.Unlock()
			at.cancel()
		case c.Do == "reconnect":
			at.device.Reconnect()
		case c.Do == "network":
			var n ramen.Network
			_ = json.Unmarshal(in.Bytes(), &n)
			at.device.SetNetwork(n)
		case c.Do == "refresh":
			at.tokens.Advance()
		}
	}
}

func start(c *command) {
	ctx, cancel := context.WithCancel(context.Background())
	at := &client{cancel: cancel, tokens: &fakes.Tokens{All: c.Tokens}}
	cfg := ramen.DeviceConfig{
		URL: c.URL, GRPC: c.GRPC, Transports: c.Transports, User: c.User, Device: c.Device, Context: c.Context, Window: c.Window,
		Heartbeat: ms(c.HeartbeatMS), ConnectTimeout: ms(c.ConnectTimeoutMS), FallbackAfter: c.FallbackAfter, PreferAfter: ms(c.PreferAfterMS),
		OnState: func(s ramen.StateChange) {
			tell(c.Client, "state", map[string]any{"state": s.State.String(), "transport": names[s.Transport], "delay_ms": s.Delay.Milliseconds()})
		},
		OnHello: func(h ramen.Hello) {
			tell(c.Client, "hello", map[string]any{"resumed": h.Resumed, "expired": h.Expired})
		},
		OnReload: func() { tell(c.Client, "reload", nil) },
		OnError:  func(of string, _ error) { tell(c.Client, "error", map[string]any{"of": of}) },
		OnToken:  func() { tell(c.Client, "token", nil) },
		Handler: fakes.Handler(c.Handler, func(m *ramen.Message) {
			tell(c.Client, "message", map[string]any{"id": string(m.ID), "payload": string(m.Payload)})
		}, cancel),
		Cursors: stores.Named(c.Store),
	}
	if c.Tokens != nil {
		cfg.Token = at.tokens.Next
	}
	d, err := ramen.New(cfg)
	if err != nil {
		tell(c.Client, "refused", map[string]any{"message": err.Error()})
		return
	}
	at.device = d
	mu.Lock()
	clients[c.Client] = at
	mu.Unlock()
	go func() {
		err := d.Run(ctx)
		for e, word := range reasons {
			if errors.Is(err, e) {
				tell(c.Client, "closed", map[string]any{"reason": word})
			}
		}
	}()
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }
