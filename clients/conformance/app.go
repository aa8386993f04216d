package conformance

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// appVerbs are what the section app may have; true: a time stands at the end.
var appVerbs = map[string]bool{
	"state": false, "message": false, "hello": false, "reload": false, "token": false, "error": false, "closed": false, "refused": false,
	"do": false, "until": false, "quiet": true, "freeze": true, "never": false, "again": false, "payload": false, "pauses": false,
}

// client is the app's side of a run.
type client struct {
	*run
	adapter *adapter
	name    string
	never   []Step
	again   []string // messages that may be handled twice
	over    bool     // guarded by mu: the runner closes the client
}

// begin starts the client under a name.
func (c *client) begin(name string) error {
	c.name = name
	c.adapter.on(name, c.told)
	command := map[string]any{"do": "start", "client": name, "url": c.URL, "grpc": c.Addr, "user": "alice", "device": "d", "transports": []string{c.transport}}
	for key, value := range c.scenario.Start {
		v, err := setting(key, value)
		if err != nil {
			return err
		}
		if m, ok := v.(map[string]any); ok {
			old, _ := command["handler"].(map[string]any)
			if old == nil {
				old = map[string]any{}
			}
			for k, x := range m {
				old[k] = x
			}
			key, v = "handler", old
		}
		command[key] = v
	}
	if s, ok := command["store"].(string); ok && !strings.HasPrefix(s, "broken:") {
		command["store"] = strings.TrimSuffix(name, "+") + "." + s // each run has its own
	}
	return c.adapter.tell(command)
}

// setting reads a value of the line start: handler.m2=fail:1, tokens=a,b, store=s.
func setting(key, value string) (any, error) {
	if id, ok := strings.CutPrefix(key, "handler."); ok {
		what, n, _ := strings.Cut(value, ":")
		number, _ := strconv.Atoi(n)
		switch what {
		case "fail", "slow_ms":
			return map[string]any{id: map[string]any{what: number}}, nil
		case "never", "close":
			return map[string]any{id: map[string]any{what: true}}, nil
		}
		return nil, fmt.Errorf("%s=%s: a handler has fail:N, slow_ms:N, never or close", key, value)
	}
	switch key {
	case "transports":
		return strings.Split(value, ","), nil
	case "tokens":
		list := strings.Split(value, ",")
		for i, token := range list {
			if life, ok := strings.CutPrefix(token, "jwt:"); ok {
				d, err := time.ParseDuration(life)
				if err != nil {
					return nil, fmt.Errorf("%s=%s: behind jwt: stands how long the token is good, as 4s", key, value)
				}
				list[i] = jwt(d)
			}
		}
		return list, nil
	case "window", "heartbeat_ms", "connect_timeout_ms", "fallback_after", "prefer_after_ms":
		return strconv.Atoi(value)
	case "listener_throws":
		return value == "true", nil
	case "context":
		var v any
		return v, json.Unmarshal([]byte(value), &v)
	}
	return value, nil
}

// jwt is a token of alice's that is good for life. Nobody verifies it.
func jwt(life time.Duration) string {
	part := base64.RawURLEncoding.EncodeToString
	return part([]byte(`{"alg":"none"}`)) + "." + part(fmt.Appendf(nil, `{"sub":"alice","exp":%d}`, time.Now().Add(life).Unix()+1)) + "." + part([]byte("none"))
}

// told takes an event of the client's.
func (c *client) told(e Event) {
	b, _ := json.Marshal(e)
	c.notef("client", "%s", eventText(b))
	c.mu.Lock()
	if e.Event == "message" && !slices.Contains(c.again, e.ID) && slices.ContainsFunc(c.events, func(o Event) bool { return o.Event == "message" && o.ID == e.ID }) {
		c.mu.Unlock()
		c.failf("message %s was handed over twice (C 5.2)", e.ID)
		c.mu.Lock()
	}
	c.events = append(c.events, e)
	over := c.over
	c.mu.Unlock()
	if over {
		c.changed()
		return
	}
	for _, s := range c.never {
		if e.Event == s.word(0) && (s.word(1) == "" || s.word(1) == e.ID || s.word(1) == e.Of || s.word(1) == e.State) {
			c.failf("line %d: the client said %s, which it must not here", s.Line, eventText(b))
		}
	}
	c.changed()
}

// eventText leaves out what is not set.
func eventText(b []byte) string {
	var m map[string]any
	_ = json.Unmarshal(b, &m)
	parts := []string{fmt.Sprint(m["event"])}
	for _, k := range []string{"state", "transport", "delay_ms", "resumed", "expired", "id", "of", "reason", "message"} {
		if v := m[k]; v != nil && v != "" && v != false && v != 0.0 {
			parts = append(parts, fmt.Sprintf("%s=%v", k, v))
		}
	}
	return strings.Join(parts, " ")
}

// play does the section app.
func (c *client) play() {
	for _, s := range c.scenario.App { // what must not or may come holds from the start
		switch s.Verb {
		case "never":
			c.never = append(c.never, s)
		case "again":
			c.again = append(c.again, s.Words...)
		}
	}
	if err := c.begin(c.name); err != nil {
		c.failf("%v", err)
		return
	}
	for _, s := range c.scenario.App {
		if s.Verb == "never" || s.Verb == "again" {
			continue
		}
		c.notef("app", "%s", s)
		if err := c.step(s); err != nil {
			if c.ctx.Err() != nil {
				c.tellLate("line %d, %s: it did not come", s.Line, s)
				return
			}
			c.failf("line %d, %s: %v", s.Line, s, err)
			return
		}
	}
	c.finish()
}

// tellLate is failf once the run's time is over; what had failed before stays the reason.
func (c *client) tellLate(format string, args ...any) {
	if !c.failed() {
		c.failf(format, args...)
	}
}

func (c *client) step(s Step) error {
	switch s.Verb {
	case "do":
		return c.do(s)
	case "until":
		return c.until(s)
	case "quiet":
		return c.run.quiet(s.duration())
	case "freeze":
		return c.freeze(s.duration())
	case "message":
		for _, id := range s.Words {
			e, err := c.nextEvent("message", func(Event) bool { return true })
			if err == nil && e.ID != id {
				err = fmt.Errorf("the handler got message %s", e.ID)
			}
			if err != nil {
				return err
			}
		}
		return nil
	case "payload":
		return c.payload(s)
	case "pauses":
		return c.pauses(s)
	case "state":
		_, err := c.nextEvent("state", func(e Event) bool {
			return e.State == s.word(0) && (s.Opts["transport"] == "" || kindIs(e.Transport, s.Opts["transport"]))
		})
		return err
	case "hello":
		e, err := c.nextEvent("hello", func(Event) bool { return true })
		if err != nil {
			return err
		}
		if e.Resumed != s.has("resumed") || e.Expired != s.number("expired", 0) {
			return fmt.Errorf("the app was told resumed=%v expired=%d", e.Resumed, e.Expired)
		}
		return nil
	case "error":
		_, err := c.nextEvent("error", func(e Event) bool { return e.Of == s.word(0) })
		return err
	case "closed":
		e, err := c.nextEvent("closed", func(Event) bool { return true })
		if err == nil && e.Reason != s.word(0) {
			err = fmt.Errorf("the reason was %q", e.Reason)
		}
		return err
	}
	_, err := c.nextEvent(s.Verb, func(Event) bool { return true })
	return err
}

func kindIs(name, want string) bool {
	o := opening{kind: name}
	return name == want || o.is(want) || want == "ws" && name == "ws"
}

// nextEvent waits for the next event of a kind that fits, behind the last one of that kind.
func (c *client) nextEvent(kind string, fits func(Event) bool) (Event, error) {
	var found Event
	err := c.await(nil, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for i := c.read[kind]; i < len(c.events); i++ {
			if e := c.events[i]; e.Event == kind && fits(e) {
				c.read[kind] = i + 1
				found = e
				return true
			}
		}
		return false
	})
	return found, err
}

func (c *client) payload(s Step) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if e.Event == "message" && e.ID == s.word(0) {
			if n := s.number("size", 0); len(e.Payload) != n {
				return fmt.Errorf("the payload of %s has %d bytes", e.ID, len(e.Payload))
			}
			return nil
		}
	}
	return fmt.Errorf("there was no message %s", s.word(0))
}

// pauses looks at all that were told with the state waiting, of which each follows a failure: drawn from 0 to a bound of 1 s that
// doubles to 30 s (C 7.1). With grow, one has to be longer than the first bound; of five that are drawn so none is once in 30,000 runs.
func (c *client) pauses(s Step) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var told []int
	shortest, longest := true, true
	for _, e := range c.events {
		if e.Event != "state" || e.State != "waiting" {
			continue
		}
		bound := min(1000<<min(len(told), 5), 30_000)
		if e.DelayMS > bound+1 {
			return fmt.Errorf("pause %d is %d ms, and %d ms is the most (C 7.1)", len(told)+1, e.DelayMS, bound)
		}
		shortest = shortest && e.DelayMS*20 < bound
		longest = longest && e.DelayMS*20 > bound*19
		told = append(told, e.DelayMS)
	}
	switch {
	case len(told) < 3 || shortest || longest:
		return fmt.Errorf("the pauses, in ms, are %v: they are not drawn from 0 to bounds of 1 s, 2 s, 4 s, … (C 7.1)", told)
	case s.has("grow") && slices.Max(told) <= 1000:
		return fmt.Errorf("the pauses, in ms, are %v: they do not grow (C 7.1, C 7.2)", told)
	}
	return nil
}

// do is something that the app does.
func (c *client) do(s Step) error {
	command := map[string]any{"do": s.word(0), "client": c.name}
	switch s.word(0) {
	case "network":
		command["online"] = s.Opts["online"] != "false"
		command["changed"] = s.Opts["changed"] == "true"
	case "crash":
		c.adapter.on(c.name, nil)
	case "start":
		return c.begin(c.name + "+")
	case "close", "reconnect", "refresh":
	default:
		return fmt.Errorf("an app does close, crash, start, reconnect, network or refresh")
	}
	err := c.adapter.tell(command)
	c.mu.Lock()
	c.did++
	c.mu.Unlock()
	c.changed()
	return err
}

// freeze stops the adapter's process for a while, as a suspended machine does.
func (c *client) freeze(d time.Duration) error {
	if !c.scenario.Alone {
		return fmt.Errorf("a scenario that freezes has to say alone")
	}
	p := c.adapter.cmd.Process
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := c.run.quiet(d)
	if back := p.Signal(syscall.SIGCONT); err == nil {
		err = back
	}
	return err
}

// settle is how long what must not come may still come.
const settle = 300 * time.Millisecond

// finish waits for the sections that are left, closes the client, and looks at what nobody has asked for.
func (c *client) finish() {
	if err := c.await(nil, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !slices.Contains(c.done, false)
	}); err != nil {
		c.tellLate("%s", c.missing())
		return
	}
	_ = c.run.quiet(settle)
	c.mu.Lock()
	over := slices.ContainsFunc(c.events, func(e Event) bool { return e.Event == "closed" })
	extra := ""
	for i := c.read["message"]; i < len(c.events); i++ {
		if e := c.events[i]; e.Event == "message" {
			extra = e.ID
		}
	}
	c.mu.Unlock()
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	if extra != "" {
		c.failf("the handler got message %s, which no line expects", extra)
	}
	if !over && !c.failed() {
		_ = c.adapter.tell(map[string]any{"do": "close", "client": c.name})
		if _, err := c.nextEvent("closed", func(Event) bool { return true }); err != nil {
			c.tellLate("the client was closed and has not ended (C 12.6)")
		}
	}
}

func (c *client) missing() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, ok := range c.done {
		if !ok && i >= c.next {
			return fmt.Sprintf("the device did not open stream %d", i+1)
		}
	}
	return "the server's part did not come to its end"
}
