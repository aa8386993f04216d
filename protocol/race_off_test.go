//go:build !race

package protocol

const poolsForget = false
