//go:build race

package protocol

// poolsForget: the race detector has a sync.Pool drop a part of what it is given, so that what is pooled is allocated again.
const poolsForget = true
