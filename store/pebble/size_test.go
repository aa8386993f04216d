package pebble

import (
	"testing"
	"unsafe"
)

// A user's rows leave the overlay some seconds after a connect. Where they had the size of a mailbox of package gateway (192 bytes),
// they would leave a hole beside each that stays.
func TestTheOverlaySharesNoSizeClassWithMailboxes(t *testing.T) {
	if n := unsafe.Sizeof(overlayMailbox{}); n > 176 || n <= 160 {
		t.Errorf("a user's rows in the overlay take %d bytes; want a size of the class of 176", n)
	}
}
