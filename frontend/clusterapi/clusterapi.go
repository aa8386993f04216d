package clusterapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"ramen/frontend/auth"
	"ramen/frontend/httpconn"
	"ramen/protocol"
	"ramen/topology/admin"
)

const (
	callTimeout = 5 * time.Second // of a call, etcd's answer included
	maxBody     = 4 << 10         // bytes
)

// Cluster is what is asked about the cluster, and changes it.
type Cluster interface {
	Status() admin.Status
	Shards() admin.Shards
	Controllers(context.Context) ([]admin.Controller, error)
	Drain(ctx context.Context, name string) (admin.Drain, error)
	Undrain(ctx context.Context, name string) error
	Move(ctx context.Context, shard int, to string) (admin.Move, error)
	Unpin(ctx context.Context, shard int) error
	AddController(ctx context.Context, name, peer string) (admin.Added, error)
	PromoteController(ctx context.Context, name string) (admin.Controller, error)
	RemoveController(ctx context.Context, name string) (admin.Controller, error)
}

// API answers the calls. It is safe for concurrent use.
type API struct {
	Cluster Cluster
	// Allow says whose key is in an Authorization header that allows the scope; empty: there are no keys here. Its error is for who asks.
	Allow func(authorization string, s auth.Scope) (name string, _ *protocol.Error)
	Log   *slog.Logger
}

// call is one of SPEC 8.6: what it answers, of a request's body where it changes something.
type call struct {
	method string
	scope  auth.Scope
	serve  func(a *API, ctx context.Context, q *question) (any, error)
}

// question is the fields that bodies may have. Which ones a call takes, it says itself.
type question struct {
	Name  string `json:"name,omitempty"`
	Shard *int   `json:"shard,omitempty"`
	To    string `json:"to,omitempty"`
	Peer  string `json:"peer,omitempty"`
}

var calls = map[string]call{
	"/v1/cluster": {http.MethodGet, auth.ScopeRead, func(a *API, _ context.Context, _ *question) (any, error) { return a.Cluster.Status(), nil }},
	"/v1/cluster/shards": {http.MethodGet, auth.ScopeRead, func(a *API, _ context.Context, _ *question) (any, error) {
		return a.Cluster.Shards(), nil
	}},
	"/v1/cluster/controllers": {http.MethodGet, auth.ScopeRead, func(a *API, ctx context.Context, _ *question) (any, error) {
		all, err := a.Cluster.Controllers(ctx)
		return map[string]any{"controllers": all}, err
	}},
	"/v1/cluster/drain": {http.MethodPost, auth.ScopeOperate, func(a *API, ctx context.Context, q *question) (any, error) {
		return a.Cluster.Drain(ctx, q.Name)
	}},
	"/v1/cluster/undrain": {http.MethodPost, auth.ScopeOperate, func(a *API, ctx context.Context, q *question) (any, error) {
		return q, a.Cluster.Undrain(ctx, q.Name)
	}},
	"/v1/cluster/move": {http.MethodPost, auth.ScopeOperate, func(a *API, ctx context.Context, q *question) (any, error) {
		if q.Shard == nil {
			return nil, protocol.Invalidf("shard is missing")
		}
		return a.Cluster.Move(ctx, *q.Shard, q.To)
	}},
	"/v1/cluster/unpin": {http.MethodPost, auth.ScopeOperate, func(a *API, ctx context.Context, q *question) (any, error) {
		if q.Shard == nil {
			return nil, protocol.Invalidf("shard is missing")
		}
		return q, a.Cluster.Unpin(ctx, *q.Shard)
	}},
	"/v1/cluster/controllers/add": {http.MethodPost, auth.ScopeOperate, func(a *API, ctx context.Context, q *question) (any, error) {
		return a.Cluster.AddController(ctx, q.Name, q.Peer)
	}},
	"/v1/cluster/controllers/promote": {http.MethodPost, auth.ScopeOperate, func(a *API, ctx context.Context, q *question) (any, error) {
		return a.Cluster.PromoteController(ctx, q.Name)
	}},
	"/v1/cluster/controllers/remove": {http.MethodPost, auth.ScopeOperate, func(a *API, ctx context.Context, q *question) (any, error) {
		return a.Cluster.RemoveController(ctx, q.Name)
	}},
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c, is := calls[r.URL.Path]
	switch {
	case !is:
		httpconn.WriteError(w, http.StatusNotFound, protocol.Errorf(protocol.CodeNotFound, "unknown path %.100q: the calls are GET /v1/cluster, /v1/cluster/shards and /v1/cluster/controllers, "+
			"and POST /v1/cluster/ with drain, undrain, move, unpin, controllers/add, controllers/promote and controllers/remove", r.URL.Path))
		return
	case r.Method != c.method && (c.method != http.MethodGet || r.Method != http.MethodHead):
		w.Header().Set("Allow", c.allowed())
		httpconn.WriteError(w, http.StatusMethodNotAllowed, protocol.Invalidf("method not allowed: use %s", c.allowed()))
		return
	}
	answer, err := a.answer(r, c)
	if err != nil {
		e := asError(err)
		httpconn.WriteError(w, e.Code.HTTPStatus(), e)
		return
	}
	body, err := json.Marshal(answer)
	if err != nil {
		httpconn.WriteError(w, http.StatusInternalServerError, protocol.Errorf(protocol.CodeInternal, "%v", err))
		return
	}
	httpconn.WriteJSON(w, http.StatusOK, body)
}

func (c *call) allowed() string {
	if c.method == http.MethodGet {
		return "GET, HEAD"
	}
	return c.method
}

func (a *API) answer(r *http.Request, c call) (any, error) {
	key, refused := a.Allow(auth.Credential(r.Header["Authorization"]), c.scope)
	if refused != nil {
		return nil, refused
	}
	q := new(question)
	if c.method == http.MethodPost {
		if err := readBody(r, q); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	answer, err := c.serve(a, ctx, q)
	if c.method == http.MethodPost {
		a.tell(r.URL.Path, key, q, err)
	}
	return answer, err
}

// tell has the log know what an operator has changed.
func (a *API) tell(path, key string, q *question, err error) {
	args := []any{"change", strings.TrimPrefix(path, "/v1/cluster/"), "key", key}
	if q.Shard != nil {
		args = append(args, "shard", *q.Shard, "to", q.To)
	} else {
		args = append(args, "name", q.Name)
	}
	if err != nil {
		a.Log.Info("a change of the cluster was refused, or failed", append(args, "error", err)...)
		return
	}
	a.Log.Info("an operator has changed the cluster", args...)
}

func readBody(r *http.Request, q *question) error {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return protocol.Invalidf("the body could not be read: %v", err)
	}
	if len(text) > maxBody {
		return protocol.Errorf(protocol.CodeTooLarge, "the body has more than %d bytes", maxBody)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(q); err != nil {
		return protocol.Invalidf(`the body is not the JSON object that this call takes, such as {"name":"g1"} or {"shard":5,"to":"g1"}: %v`, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return protocol.Invalidf("the body has something behind its JSON object")
	}
	return nil
}

func asError(err error) *protocol.Error {
	if e, is := errors.AsType[*protocol.Error](err); is {
		return e
	}
	return protocol.Errorf(protocol.CodeInternal, "%v", fmt.Errorf("clusterapi: %w", err))
}
