// Package transfer moves what lives in one store to another.
//
//  1. Both stores are claimed, at one epoch above all that both know: who served from one of them is fenced, and positions that are given
//     later are behind what was copied.
//  2. A user is copied by comparison: what the target has already is not written again. So a copy that was cut off anywhere goes on by
//     being done again.
//  3. A new target takes the source's identity, so that cursors stay good; and the source, once all is verified, another one, since
//     from then on both give the same positions.
//  4. A target with other data is refused. Where it is to be mixed, what its users have stays, and what they get is appended behind
//     it, at new positions, so that no cursor is beyond it: messages may come twice to devices, and none is left out.
//  5. At the end everything is read from both again and compared by position, id and content.
//
// Goroutines: Config.Workers, and one that renews the claims where a store is shared. Copy waits for all.
package transfer
