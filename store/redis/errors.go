package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"ramen/store"
)

// ErrBusy is the answer where too much waits for a server already. Nothing was done.
var ErrBusy = errors.New("too many calls wait for this Redis server")

// ErrOutOfMemory is the answer of a server whose memory is used up (maxmemory). Nothing was done.
var ErrOutOfMemory = errors.New("the Redis server has no memory left (maxmemory)")

// verdict is what becomes of a call that has come back.
type verdict uint8

const (
	verdictDone  verdict = iota // there is a reply
	verdictFail                 // nothing was done, and trying again here is of no use
	verdictAgain                // nothing was done: try again, here or at another server
	verdictAsk                  // nothing was done: ask another server, this once
	verdictUnknown
)

// reasons are what errors are counted by.
const (
	reasonUnknown = "unknown" // the outcome is not known: a time-out, or a connection lost after the write
	reasonConnect = "connect" // no connection could be had
	reasonMemory  = "out_of_memory"
	reasonMoved   = "moved"    // the slot is elsewhere, or on its way
	reasonServer  = "server"   // another error of the server
	reasonReplica = "replicas" // too few replicas, or no fsync in time; the outcome is unknown
	reasonFenced  = "fenced"
	reasonLast    = "last"      // the mailbox's last position is another
	reasonBusy    = "busy"      // refused: too much waits
	reasonLate    = "late"      // its deadline came while it waited to be sent
	reasonReply   = "bad_reply" // a reply or value that cannot be read

	reasonOvertaken = "overtaken" // a Replace, by another write
)

var allReasons = []string{reasonUnknown, reasonConnect, reasonMemory, reasonMoved, reasonServer, reasonReplica, reasonFenced, reasonLast, reasonBusy, reasonLate, reasonReply, reasonOvertaken}

// judge says what becomes of a call whose command came back with err, where written says that it may have reached the server.
func judge(err error, written bool) (v verdict, reason string) {
	if err == nil || err == goredis.Nil {
		return verdictDone, ""
	}
	var reply goredis.Error
	switch {
	case errors.As(err, &reply):
		return judgeReply(reply.Error())
	case written:
		return verdictUnknown, reasonUnknown
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return verdictFail, reasonLate
	}
	return verdictFail, reasonConnect
}

// judgeReply judges an error that the server has answered. Our scripts read before they write, and their first write decides: an
// error means that nothing was done.
func judgeReply(text string) (verdict, string) {
	code, _, _ := strings.Cut(text, " ")
	switch code {
	case "MOVED", "TRYAGAIN", "CLUSTERDOWN":
		return verdictAgain, reasonMoved
	case "ASK":
		return verdictAsk, reasonMoved
	case "READONLY", "LOADING", "MASTERDOWN", "NOSCRIPT", "BUSY":
		return verdictAgain, reasonServer
	case "OOM":
		return verdictFail, reasonMemory
	}
	if strings.Contains(text, "OOM ") {
		return verdictFail, reasonMemory
	}
	if strings.Contains(text, "READONLY ") {
		return verdictAgain, reasonServer
	}
	return verdictFail, reasonServer
}

// unknownError is the answer where nobody can tell whether a write took effect.
func unknownError(err error) error { return fmt.Errorf("%w: %w", store.ErrUnknown, err) }

// wrap names what was done where it failed.
func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("store/redis: %s: %w", what, err)
}
