// Package lease has one process own all shards of a store that several may open, without a topology: the claims in the store are its lease. With
// a Share it has each of several own a part of them, by a list that all have.
//
// Invariants:
//
//  1. The gateway may act on a shard until 2.4 s after the sending of the last reading in which its own claim of that shard stood, and no
//     longer. Who takes a shard from another on a store that does not fence waits that long after its claim has been answered, and
//     serves only then.
//
//  2. Each shard has a lease of its own. What cannot be read of a part of the store ends the leases of that part alone; they come back
//     once it can be read.
//
//  3. The owner of the highest epoch that is known leads, and takes all shards; of two at the same epoch the one that has the lowest shard
//     of it. A process that starts claims above all that it has read, one shard before the others, so that of two that start at once one
//     leads.
//
//  4. Who does not lead serves nothing, and stands by until who leads is not present any more. Where that could not be read, absence is
//     believed only 2.4 s later: who leads could not say that it is there, either. And who follows has said before that it is there itself;
//     where it cannot, it follows only 24 s later, so that no two take all shards from each other for ever.
//
//     standing by ──nobody else leads──▶ leading:  a shard  free ──claimed──▶ claimed ──the older lease is over──▶ served
//     ▲                                  │                   ▲                                                   │
//     └──────another leads───────────────┘                   └───────unread for 2.4 s, or claimed by another─────┘
//
//  5. With a Share nobody leads. A process claims what its list gives it where nobody who is there has it: it was not claimed, or its claim is
//     that of who is not present, or of nobody (viewfile.Released). Nothing is taken from who is there, but by a process that has just started
//     from an earlier start under its name. Who has what its list gives to another releases it in order and claims it in nobody's name: so the
//     other need not wait for a lease. What nobody takes within 3 s it takes back.
//
// Goroutines: the loop, which never waits for the store; one that says that this process is there; and, while they are under way, one that
// reads the claims, one that claims (and four calls of the store at once), one that recovers. Locks: mu guards what others read; it is not
// held across I/O or a call of the gateway.
package lease
