// Package assign says which gateway is to own which shard of users.
//
// It is pure: what it answers follows from its arguments alone, and none of them is changed. There is no goroutine here.
package assign
