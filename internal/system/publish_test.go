package system

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// msg is one message as SPEC 8 has it in JSON.
type msg map[string]any

// result is one result of POST /v1/publish.
type result struct {
	ID      string    `json:"id"`
	Status  string    `json:"status"`
	Devices int       `json:"devices"`
	Error   errorBody `json:"error"`
}

type errorBody struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// publish publishes one message, which must be accepted, and answers its id.
func (s *server) publish(m msg) string {
	s.t.Helper()
	r := s.results(m)
	if len(r) != 1 || r[0].Status != "accepted" {
		s.t.Fatalf("publish %v: %+v", m, r)
	}
	return r[0].ID
}

// publishAll publishes a batch, each of which must be accepted.
func (s *server) publishAll(batch []msg) {
	s.t.Helper()
	for i, r := range s.results(msg{"messages": batch}) {
		if r.Status != "accepted" {
			s.t.Fatalf("publish %v: %+v", batch[i], r)
		}
	}
}

// results publishes body, which must be answered by results.
func (s *server) results(body msg) []result {
	s.t.Helper()
	r := s.backend("POST", "/v1/publish", encode(body))
	if r.status != http.StatusOK {
		s.t.Fatalf("publish: %d %s", r.status, r.body)
	}
	var answer struct{ Results []result }
	s.decode(r.body, &answer)
	return answer.Results
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func (s *server) decode(body string, to any) {
	s.t.Helper()
	if err := json.Unmarshal([]byte(body), to); err != nil {
		s.t.Fatalf("decode %q: %v", body, err)
	}
}

// numbered is n messages for user with the payloads 1 to n and the ids prefix-1 to prefix-n, of the priorities in turn.
func numbered(user, prefix string, n int, priorities ...string) []msg {
	all := make([]msg, n)
	for i := range all {
		all[i] = msg{"user": user, "id": prefix + "-" + strconv.Itoa(i+1), "payload": i + 1}
		if len(priorities) > 0 {
			all[i]["priority"] = priorities[i%len(priorities)]
		}
	}
	return all
}

// ordered is the ids of batch in the order of SPEC 2.5.
func ordered(batch []msg) (ids []string) {
	for _, priority := range []string{"high", "medium", "low"} {
		for _, m := range batch {
			p, _ := m["priority"].(string)
			if p == "" {
				p = "medium"
			}
			if p == priority {
				ids = append(ids, m["id"].(string))
			}
		}
	}
	return ids
}

// listed is one device in a list of SPEC 8.
type listed struct {
	Device      string `json:"device"`
	Online      bool   `json:"online"`
	Transport   string `json:"transport"`
	ConnectedMS int64  `json:"connected_ms"`
	LastSeenMS  int64  `json:"last_seen_ms"`
	Pending     int    `json:"pending"`
	Unacked     int    `json:"unacked"`
	RTTMS       int    `json:"rtt_ms"`
	Context     struct {
		App, OS, Model, Locale string
		AppVersion             string            `json:"app_version"`
		OSVersion              string            `json:"os_version"`
		Labels                 map[string]string `json:"labels"`
	} `json:"context"`
}

func (s *server) devices(user string) map[string]listed {
	s.t.Helper()
	var answer struct{ Devices []listed }
	s.decode(s.list(user, "devices"), &answer)
	all := map[string]listed{}
	for _, d := range answer.Devices {
		all[d.Device] = d
	}
	return all
}

// waiting is the ids that wait in the user's mailbox, in the order of the list.
func (s *server) waiting(user string) []string {
	s.t.Helper()
	var answer struct{ Messages []struct{ ID string } }
	s.decode(s.list(user, "messages"), &answer)
	ids := make([]string, 0, len(answer.Messages))
	for _, m := range answer.Messages {
		ids = append(ids, m.ID)
	}
	return ids
}

func (s *server) list(user, what string) string {
	s.t.Helper()
	r := s.backend("GET", "/v1/users/"+escape(user)+"/"+what, "")
	for end := time.Now().Add(patience); r.status == http.StatusServiceUnavailable && elsewhere(s.cfg.Store.URL.Scheme()) && time.Now().Before(end); {
		r = s.backend("GET", "/v1/users/"+escape(user)+"/"+what, "") // a lease has ended, and comes back
	}
	if r.status != http.StatusOK {
		s.t.Fatalf("list %s of %s: %d %s", what, user, r.status, r.body)
	}
	return r.body
}

// untilPending waits until n messages wait for the device.
func (s *server) untilPending(user, device string, n int) {
	s.t.Helper()
	until(s.t, fmt.Sprintf("pending of %s/%s", user, device), func() string {
		return same("pending", s.devices(user)[device].Pending, n)
	})
}

// untilWaiting waits until n messages are in the user's mailbox.
func (s *server) untilWaiting(user string, n int) {
	s.t.Helper()
	until(s.t, "mailbox of "+user, func() string { return same("waiting", len(s.waiting(user)), n) })
}

// untilOffline waits until the server has seen the device's stream end.
func (s *server) untilOffline(user, device string) {
	s.t.Helper()
	until(s.t, "end of "+user+"/"+device, func() string { return same("online", s.devices(user)[device].Online, false) })
}

// jsonField is the text of a field of an object that is a number, or "".
func jsonField(body, name string) string {
	var fields map[string]json.Number
	if json.Unmarshal([]byte(body), &fields) != nil {
		return ""
	}
	return fields[name].String()
}

// jsonCode is the code of an error's body, or "".
func jsonCode(body string) string {
	e, _ := errorOf(body)
	return e.Code
}
