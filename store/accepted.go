package store

// lateAfterMS is how much later than its message came a step is usually written, at most: a publisher waits for no longer.
const lateAfterMS = 5000

// AcceptedMS is from when on the id of a message is remembered, in Unix ms: from when it came, or, where its step was in doubt for long, from
// when it was written last: nobody was told before that it is accepted.
func AcceptedMS(createdMS, writtenMS int64) int64 {
	if writtenMS-createdMS > lateAfterMS {
		return writtenMS
	}
	return createdMS
}
