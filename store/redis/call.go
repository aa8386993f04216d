package redis

import (
	"context"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"ramen/store"
)

// kind is what a call is, for metrics, and which of a node's queues it waits in.
type kind uint8

const (
	kindAppend kind = iota
	kindClaim
	kindReplace
	kindSave
	kindForget
	kindLoad
	kindScan
	kinds
)

var kindNames = [kinds]string{"append", "claim", "replace", "save_devices", "forget", "load", "scan_expired"}

// noDeadline is how long a call may take whose context has no deadline.
const noDeadline = 5 * time.Second

// call is one command for one shard, from when it is made until it is answered. Its memory is used again.
type call struct {
	store.Owner
	kind     kind
	durable  bool // it is answered once it is as durable as the store is configured for
	ctx      context.Context
	deadline time.Time
	began    time.Time
	answer   func(i int, err error)
	i        int
	keep     bool // who made it frees it, once it has read the reply

	// the command
	arena   []byte
	ends    []int   // in arena, of its pieces
	pieces  []piece // arguments; not appended to once args point to them
	args    []any
	sent    sent
	read    bool   // a read: args, and then the claim is read
	head    []byte // scratch of package codec
	claimAt int    // the piece that is the token; -1: none
	getArgs [2]any // that read the claim

	// of the last attempt, owned by who runs it
	attempts int
	held     *heldClaim // whose token it carried
	written  bool       // it may have reached the server
	to       string     // the node that the last reply has named; empty: that of the shard
	asking   bool       // it is to be asked, although the slot is not its own yet
	reply    any
	got      bool   // of a read: reply is there, and the claim is to be read alone
	claim    string // that was read behind a read
}

// piece is an argument. Being a pointer into a slice it costs no memory of its own.
type piece struct{ b []byte }

// MarshalBinary implements encoding.BinaryMarshaler.
func (p *piece) MarshalBinary() ([]byte, error) { return p.b, nil }

// sent is an argument of every command: the client asks for it when it writes the command to its connection.
type sent struct {
	c *call
	b []byte
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (s *sent) MarshalBinary() ([]byte, error) {
	s.c.written = true
	return s.b, nil
}

var calls = sync.Pool{New: func() any { return new(call) }}

// keptArena is the most memory that a call in the pool has.
const keptArena = 16 << 10

func newCall(ctx context.Context, k kind, at store.Owner) *call {
	c := calls.Get().(*call)
	c.Owner, c.kind, c.ctx, c.claimAt = at, k, ctx, -1
	c.began = time.Now()
	var ok bool
	if c.deadline, ok = ctx.Deadline(); !ok {
		c.deadline = c.began.Add(noDeadline)
	}
	return c
}

func (c *call) free() {
	if cap(c.arena) > keptArena || cap(c.args) > 256 {
		return
	}
	clear(c.args)
	clear(c.pieces)
	*c = call{arena: c.arena[:0], ends: c.ends[:0], pieces: c.pieces[:0], args: c.args[:0], head: c.head[:0]}
	calls.Put(c)
}

// add adds an argument that is a string or bytes.
func add[S ~string | ~[]byte](c *call, s S) {
	c.arena = append(c.arena, s...)
	c.end()
}

// end ends an argument that was appended to the arena.
func (c *call) end() { c.ends = append(c.ends, len(c.arena)) }

func (c *call) addInt(n int64) {
	c.arena = strconv.AppendInt(c.arena, n, 10)
	c.end()
}

func (c *call) addBool(b bool) {
	var n int64
	if b {
		n = 1
	}
	c.addInt(n)
}

// addToken adds the token of the claim that the caller holds.
func (c *call) addToken() {
	c.claimAt = len(c.ends)
	c.end()
}

// run makes the arguments a call of a script, the first of them its keys.
func (c *call) run(s *script, keys string) {
	c.sent = sent{c, s.sha}
	c.args = append(c.args[:0], "evalsha", &c.sent, keys)
	c.point()
}

// command makes the arguments those of a command.
func (c *call) command(name string) {
	c.sent = sent{c, []byte(name)}
	c.args = append(c.args[:0], &c.sent)
	c.point()
}

// point has args point to the pieces.
func (c *call) point() {
	from := 0
	for _, end := range c.ends {
		c.pieces = append(c.pieces, piece{c.arena[from:end:end]})
		from = end
	}
	for i := range c.pieces {
		c.args = append(c.args, &c.pieces[i])
	}
}

// size is how much is sent, about.
func (c *call) size() int { return len(c.arena) + 64 }

// prepare makes c ready for an attempt with the claim that is held now.
func (c *call) prepare(h *heldClaim, nonce [8]byte) {
	c.attempts++
	c.written, c.claim, c.held = false, "", nil
	if !c.got {
		c.reply = nil
	}
	if h != nil && h.epoch() == c.Epoch {
		c.held = h
	}
	if c.claimAt < 0 {
		return
	}
	if c.held != nil {
		c.pieces[c.claimAt].b = c.held.token[:]
	} else { // no claim begins with it: the answer says who has claimed
		t := newToken(c.Epoch, [8]byte{}, 0)
		c.pieces[c.claimAt].b = t[:]
	}
}

// done answers c, and frees it.
func (c *call) done(err error) {
	keep, answer, i := c.keep, c.answer, c.i
	if !keep {
		c.free()
	}
	answer(i, err)
}

// commands are those of an attempt. A read has both, but where its key and the claim are at two nodes, while their slot moves.
type commands struct {
	main, claim *goredis.Cmd
}
