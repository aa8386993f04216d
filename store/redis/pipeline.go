package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

var errLate = fmt.Errorf("waited for the Redis server until the deadline: %w", context.DeadlineExceeded)

// waitMargin is how much earlier than the deadline the server is to give up waiting for replicas or its disk, so that its answer is here by then.
const waitMargin = 20 * time.Millisecond

// exec sends a pipeline, and gives each of its calls its answer, or its next attempt.
func (n *node) exec(q *queue, batch []*call) {
	s := n.s
	n.usedMS.Store(time.Now().UnixMilli())
	deadline := batch[0].deadline
	live := batch[:0]
	for _, c := range batch {
		if err := c.ctx.Err(); err != nil {
			q.leave(c)
			s.fail(c, reasonLate, err)
			continue
		}
		if c.deadline.Before(deadline) {
			deadline = c.deadline
		}
		live = append(live, c)
	}
	if len(live) == 0 {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	s.metrics.pipelineCalls.Observe(float64(len(live)))
	cmds, wait, err := n.send(ctx, live)
	for i, c := range live {
		q.leave(c)
		n.finish(c, cmds[i], wait, err)
	}
}

// send sends the commands of calls by one connection, with a wait for durability behind them where one needs it.
func (n *node) send(ctx context.Context, batch []*call) (cmds []commands, wait *goredis.Cmd, err error) {
	s := n.s
	cmds = make([]commands, len(batch))
	pipe := n.client.Pipeline()
	durable := false
	for i, c := range batch {
		c.prepare(s.held(c.Shard), s.nonce)
		ask := func() {
			if c.asking {
				_ = pipe.Process(ctx, goredis.NewStatusCmd(ctx, "asking"))
			}
		}
		if !c.got {
			ask()
			cmds[i].main = goredis.NewCmd(ctx, c.args...)
			_ = pipe.Process(ctx, cmds[i].main)
		}
		if c.got || c.read && !c.asking { // who is asked for one key may not have the other yet, and would say that there is none
			ask()
			cmds[i].claim = goredis.NewCmd(ctx, c.getArgs[:]...)
			_ = pipe.Process(ctx, cmds[i].claim)
		}
		c.asking = false
		durable = durable || c.durable
	}
	if durable {
		if wait = s.waitCommand(ctx); wait != nil {
			_ = pipe.Process(ctx, wait)
		}
	}
	_, err = pipe.Exec(ctx)
	return cmds, wait, err
}

// waitCommand has the server wait until what the connection has written is durable; nil: it need not.
func (s *Store) waitCommand(ctx context.Context) *goredis.Cmd {
	deadline, _ := ctx.Deadline()
	ms := max(1, (time.Until(deadline) - waitMargin).Milliseconds()) // 0 would be for ever
	switch {
	case s.cfg.Durability == Replicas:
		return goredis.NewCmd(ctx, "wait", s.cfg.Replicas, ms)
	case s.cfg.Durability == Fsync && s.waitAOF.Load():
		return goredis.NewCmd(ctx, "waitaof", 1, 0, ms)
	}
	return nil
}

// waited is nil where wait says that what was written is durable.
func (s *Store) waited(wait *goredis.Cmd) error {
	if s.cfg.Durability == Fsync {
		if err := s.kept(); err != nil {
			return err
		}
		if wait == nil && s.waitAOF.Load() {
			return errNotSynced
		}
	}
	if wait == nil {
		return nil
	}
	v, err := wait.Result()
	if err != nil {
		return fmt.Errorf("wait until the write is durable: %w", err)
	}
	got, want, what := int64(-1), int64(s.cfg.Replicas), "replicas have the write"
	switch v := v.(type) {
	case int64: // of WAIT
		got = v
	case []any: // of WAITAOF: on how many disks it is: the server's own, and those of replicas
		want, what = 1, "disks have the write"
		if len(v) > 0 {
			got, _ = v[0].(int64)
		}
	}
	if got < want {
		return fmt.Errorf("%d of %d %s at the deadline", got, want, what)
	}
	return nil
}

// errNotSynced is why a write is not known to be durable that was sent before it was known that the server does not sync by itself before it replies.
var errNotSynced = errors.New("the server was not asked to sync the write: it has become the master just now")

var errNoReply = errors.New("the server has not replied")

// errClaimElsewhere is why a read is not over whose key was asked for at another node than its shard's.
var errClaimElsewhere = errors.New("the claim is to be read at the node of its shard")

// finish judges what has come back of c.
func (n *node) finish(c *call, cmd commands, wait *goredis.Cmd, err error) {
	s := n.s
	main := cmd.main
	if main == nil {
		main = cmd.claim
	}
	val, e := main.Result()
	if e == nil && val == nil { // the connection could not be set up: the client tells that of the whole alone
		if e = err; e == nil {
			e = errNoReply
		}
	}
	v, reason := judge(e, c.written)
	if v == verdictUnknown && val != nil { // it was answered before the connection was lost
		v, e = verdictDone, nil
	}
	if v == verdictDone && c.read {
		if v, reason, e = n.readClaim(c, cmd, val); v == verdictDone {
			val = c.reply
		}
	}
	if v == verdictDone && errors.Is(e, goredis.Nil) {
		val = nil
	}
	if v == verdictFail && !c.written {
		var reply goredis.Error
		if errors.As(err, &reply) { // in setting up the connection: as any other reply
			v, reason = judgeReply(reply.Error())
		}
	}
	if v != verdictDone {
		s.noteTrouble(n, e)
	}
	switch v {
	case verdictDone:
		c.reply = val
		s.replied(c, func() error { return s.waited(wait) })
	case verdictUnknown:
		if c.read {
			s.fail(c, reason, e)
			return
		}
		s.fail(c, reason, unknownError(e))
	case verdictFail:
		if reason == reasonMemory {
			e = fmt.Errorf("%w: %w", ErrOutOfMemory, e)
		}
		s.fail(c, reason, e)
	default:
		s.again(n, c, v, reason, e)
	}
}

// readClaim goes on with a read of which val was read, or before, and the claim now. The claim is read behind it: by itself where it is at
// another node.
func (n *node) readClaim(c *call, cmd commands, val any) (v verdict, reason string, e error) {
	if cmd.main != nil {
		c.reply, c.got = val, true
	}
	if cmd.claim == nil {
		return verdictAgain, reasonMoved, errClaimElsewhere
	}
	claim, e := cmd.claim.Result()
	if v, reason = judge(e, true); v == verdictDone {
		c.claim, _ = claim.(string)
	}
	return v, reason, e
}
