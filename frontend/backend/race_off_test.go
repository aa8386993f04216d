//go:build !race

package backend

const poolsForget = false
