package ramen

import "testing"

// TestMemoryCursorKeepsTheLast is the store of a device that is made anew in one process.
func TestMemoryCursorKeepsTheLast(t *testing.T) {
	var m MemoryCursor
	if c, err := m.Load(t.Context()); c != "" || err != nil {
		t.Errorf("before the first save: %q, %v", c, err)
	}
	for _, want := range []string{"k1", "k2"} {
		if err := m.Save(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if c, err := m.Load(t.Context()); c != want || err != nil {
			t.Errorf("%q, %v, not %q", c, err, want)
		}
	}
}
