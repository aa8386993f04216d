//go:build race

package sock

// announced: the race detector knows what one end of a connection has ordered before the other by package syscall's calls alone.
const announced = true
