// Attack floods a server that it starts, one kind of attack after another, beside canaries: a stream over every transport and
// publishes of high priority, all with good credentials. Of each attack it tells what the server's memory came to, the
// longest silence of a canary stream, and how long the canaries' publishes took.
//
// Each attack is one function of a file a kind, and runs in a process of its own (this program again, at a lower priority),
// so that its own memory and pauses are not taken for the server's. Each has a fresh server.
//
// Goroutines: those of the canaries here; in the attacker as many as the attack has connections.
package main
