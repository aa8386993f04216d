package system

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"ramen/protocol"
)

// sseDevice reads an event stream with net/http.
type sseDevice struct {
	s      *server
	at     place
	cancel context.CancelFunc
	resp   *http.Response

	decoder protocol.SSEDecoder
	frames  []protocol.ServerFrame
	retryMS int
	beats   int // lone LFs, counted where nothing else came with them
	stream  string
	raw     []byte
}

func (s *server) dialSSE(p place) (device, error) {
	ctx, cancel := context.WithCancel(context.Background())
	d := &sseDevice{s: s, at: p, cancel: cancel}
	q := p.query()
	req, err := http.NewRequestWithContext(ctx, "GET", s.deviceURL("/ramen/receive?"+q.Encode()), nil)
	if err != nil {
		return nil, err
	}
	if p.origin != "" {
		req.Header.Set("Origin", p.origin)
	}
	stop := watch(cancel)
	d.resp, err = s.web.Do(req)
	stop()
	if err != nil {
		cancel()
		return nil, err
	}
	if d.resp.StatusCode != http.StatusOK {
		defer cancel()
		return nil, refusal(d.resp)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no",
	} {
		if got := d.resp.Header.Get(name); got != want {
			d.close()
			return nil, fmt.Errorf("the answer's %s is %q, want %q", name, got, want)
		}
	}
	return d, nil
}

// refusal is an HTTP error as an ending.
func refusal(resp *http.Response) error {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	e := &ending{status: resp.StatusCode, retry: resp.Header.Get("Retry-After")}
	e.body, err = errorOf(string(body))
	return errors.Join(e, err)
}

// errorOf reads the body of SPEC 4.
func errorOf(body string) (errorBody, error) {
	var b struct{ Error *errorBody }
	if err := json.Unmarshal([]byte(body), &b); err != nil || b.Error == nil || b.Error.Code == "" || b.Error.Message == "" {
		return errorBody{}, fmt.Errorf("the body is no error of SPEC 4: %q (%v)", body, err)
	}
	return *b.Error, nil
}

func (d *sseDevice) next() (protocol.ServerFrame, error) {
	defer watch(d.cancel)()
	for len(d.frames) == 0 {
		buf := make([]byte, 4096)
		n, err := d.resp.Body.Read(buf)
		d.raw = append(d.raw, buf[:n]...)
		if len(d.raw) > 1<<16 {
			d.raw = d.raw[len(d.raw)-1024:]
		}
		if n == 1 && buf[0] == '\n' {
			d.beats++
		}
		if e := d.decoder.Feed(buf[:n], d.take); e != nil {
			return protocol.ServerFrame{}, e
		}
		if err != nil && len(d.frames) == 0 {
			e := &ending{}
			if err != io.EOF {
				e.err = err
			}
			return protocol.ServerFrame{}, e
		}
	}
	f := d.frames[0]
	d.frames = d.frames[1:]
	return f, nil
}

func (d *sseDevice) take(ev protocol.SSEEvent) error {
	var f protocol.ServerFrame
	if err := protocol.DecodeSSEEvent(ev, &f); err != nil {
		return err
	}
	d.retryMS = ev.RetryMS
	if f.Kind == protocol.ServerHello {
		d.stream = f.Hello.Stream
	}
	if f.Kind != protocol.ServerNone {
		d.frames = append(d.frames, f)
	}
	return nil
}

func (d *sseDevice) ack(seq protocol.Seq) error { return d.s.ackBeside(d.at, seq, d.stream) }

// ackBeside acks with POST /ramen/ack.
func (s *server) ackBeside(p place, seq protocol.Seq, stream string) error {
	q := url.Values{"user": {p.user}, "device": {p.device}, "seq": {strconv.FormatUint(uint64(seq), 10)}, "stream": {stream}}
	if p.token != "" {
		q = url.Values{"token": {p.token}, "device": {p.device}, "seq": q["seq"], "stream": {stream}}
	}
	r, err := s.try("POST", s.deviceURL("/ramen/ack?"+q.Encode()), "")
	if err == nil && r.status != http.StatusNoContent {
		err = fmt.Errorf("POST /ramen/ack: %d %s", r.status, r.body)
	}
	return err
}

func (d *sseDevice) echo(protocol.ServerFrame) {}

func (d *sseDevice) send(protocol.DeviceFrame) error {
	return errors.New("there is no way back on SSE")
}

func (d *sseDevice) close() {
	d.cancel()
	d.resp.Body.Close()
}
