package auth

import (
	"crypto/sha256"
	"sync"
	"time"
)

// cache remembers tokens that were verified, by their SHA-256, so that no token is kept in memory. It holds at most its
// limit: when the young half is full, the old half is dropped and the halves change places.
type cache struct {
	half int // immutable; 0: remembers nothing

	mu         sync.Mutex // guards what follows
	young, old map[fingerprint]remembered
}

type fingerprint [sha256.Size]byte

// fingerprintOf copies the token into a buffer that is used again, since a hash takes bytes alone.
func fingerprintOf(token string) fingerprint {
	b := tokenBufs.Get().(*[]byte)
	defer tokenBufs.Put(b)
	*b = append((*b)[:0], token...)
	defer clear(*b)
	return sha256.Sum256(*b)
}

var tokenBufs = sync.Pool{New: func() any { return new([]byte) }}

// remembered is what is known of a token, but for whether it is good at this moment.
type remembered struct {
	claims Claims
	life   lifetime
}

// at is what the token says if it is good at now.
func (r *remembered) at(now time.Time, leeway time.Duration) (Claims, error) {
	if err := r.life.check(now, leeway); err != nil {
		return Claims{}, err
	}
	return r.claims, nil
}

func newCache(limit int) *cache {
	return &cache{half: (limit + 1) / 2}
}

// get answers what was put under f.
func (c *cache) get(f *fingerprint) (remembered, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.young[*f]; ok {
		return r, true
	}
	r, ok := c.old[*f]
	if ok { // used again: it moves to the young
		c.putLocked(f, r)
	}
	return r, ok
}

// put remembers r.
func (c *cache) put(f *fingerprint, r remembered) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(f, r)
}

func (c *cache) putLocked(f *fingerprint, r remembered) {
	if len(c.young) >= c.half {
		c.old, c.young = c.young, nil
	}
	if c.young == nil {
		c.young = make(map[fingerprint]remembered)
	}
	c.young[*f] = r
}

// len is how many tokens are remembered.
func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}
