package auth

import (
	"crypto/hmac"
	"hash"
	"sync"
	"unsafe"

	"github.com/golang-jwt/jwt/v5"
)

// macs are HMACs of one secret that are used again: to make one hashes the secret twice, a third of what a token costs.
type macs struct{ pool sync.Pool }

// newMACs is nil where key is no secret.
func newMACs(m jwt.SigningMethod, key any) *macs {
	method, ok := m.(*jwt.SigningMethodHMAC)
	secret, is := key.([]byte)
	if !ok || !is {
		return nil
	}
	return &macs{sync.Pool{New: func() any { return &mac{h: hmac.New(method.Hash.New, secret)} }}}
}

// mac is one HMAC, and where its sum goes.
type mac struct {
	h   hash.Hash
	sum [64]byte
}

// verify reports whether signature is that of signed. RFC 7518 3.2.
func (p *macs) verify(signed string, signature []byte) bool {
	m := p.pool.Get().(*mac)
	defer p.pool.Put(m)
	m.h.Reset()
	m.h.Write(unsafe.Slice(unsafe.StringData(signed), len(signed))) // without a copy
	return hmac.Equal(m.h.Sum(m.sum[:0]), signature)
}

// signed reports whether signature is that of text by this key.
func (k *ringKey) signed(m jwt.SigningMethod, text string, signature []byte) bool {
	if k.macs != nil {
		return k.macs.verify(text, signature)
	}
	return m.Verify(text, signature, k.key) == nil
}

// checkText is check for a signature as a token has it.
func (r *keyring) checkText(h *header, signed, signature string) error {
	b := scratches.Get().(*scratch)
	defer scratches.Put(b)
	raw, ok := b.decode(signature)
	if !ok {
		return refusef("token's signature is no base64url without padding")
	}
	return r.check(h, signed, raw)
}
