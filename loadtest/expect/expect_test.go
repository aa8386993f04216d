package expect

import (
	"testing"
)

const run = "r1"

func id(lane uint8, n uint32) []byte { return AppendID(nil, run, Name{7, lane, n}) }

func TestIDsRoundTrip(t *testing.T) {
	for _, m := range []Name{{0, 0, 1}, {35, 1, 36}, {1<<32 - 1, 2, 1<<32 - 1}} {
		text := AppendID(nil, run, m)
		if got, ok := ParseID(text, run); !ok || got != m {
			t.Errorf("%s is %v, %v; want %v", text, got, ok, m)
		}
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("r1-7-01")
	f.Add("r1-zzzzzzzz-2zzzzzzzz")
	f.Add("r1--0")
	f.Fuzz(func(t *testing.T, s string) {
		if m, ok := ParseID([]byte(s), run); ok {
			if again, ok := ParseID(AppendID(nil, run, m), run); !ok || again != m {
				t.Errorf("%q is %v, then %v", s, m, again)
			}
		}
	})
}

// step is one thing that happens to a device.
type step func(d *Device, b *Expectations)

func opens(resumed, cursor bool, seq int64) step {
	return func(d *Device, b *Expectations) {
		d.Opening()
		d.Opened(b, resumed, cursor, seq)
	}
}

func pushes(seq uint64, lane uint8, n uint32) step {
	return func(d *Device, b *Expectations) { d.Pushed(b, seq, id(lane, n), true) }
}

func TestEachBrokenPromiseIsFoundAndNothingElse(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []step
		sent  Lanes
		want  map[Kind]int64
	}{
		{"all well", []step{opens(false, false, 0), pushes(1, 1, 1), pushes(2, 0, 1), pushes(3, 1, 2)}, Lanes{1, 2, 0}, nil},
		{"lost at the end", []step{opens(false, false, 0), pushes(1, 1, 1)}, Lanes{0, 2, 0}, map[Kind]int64{Lost: 1}},
		{"lost in the middle", []step{opens(false, false, 0), pushes(1, 1, 1), pushes(2, 1, 3)}, Lanes{0, 3, 0}, map[Kind]int64{Lost: 1}},
		{"dropped on the way", []step{opens(false, false, 0), pushes(1, 1, 1), pushes(3, 1, 3)}, Lanes{0, 3, 0}, map[Kind]int64{Lost: 1, Seq: 1}},
		{"out of order", []step{opens(false, false, 0), pushes(1, 1, 2), pushes(2, 1, 1)}, Lanes{0, 2, 0}, map[Kind]int64{Order: 1}},
		{"twice on one stream", []step{opens(false, false, 0), pushes(1, 1, 1), pushes(2, 1, 1)}, Lanes{0, 1, 0}, map[Kind]int64{Duplicate: 1}},
		{"again on the next stream, unresumed", []step{opens(false, false, 0), pushes(1, 1, 1), opens(false, false, 0), pushes(1, 1, 1)}, Lanes{0, 1, 0}, nil},
		{"again on the next stream, resumed", []step{opens(false, false, 0), pushes(1, 1, 1), opens(true, true, 1), pushes(2, 1, 1)}, Lanes{0, 1, 0}, map[Kind]int64{Duplicate: 1}},
		{"redelivered in the wrong order", []step{opens(false, false, 0), pushes(1, 1, 1), pushes(2, 1, 2), opens(false, false, 0), pushes(1, 1, 2), pushes(2, 1, 1)},
			Lanes{0, 2, 0}, map[Kind]int64{Duplicate: 1}},
		{"cursor not honoured", []step{opens(false, false, 0), pushes(1, 1, 1), opens(false, true, 0)}, Lanes{0, 1, 0}, map[Kind]int64{Resume: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, d := New(run), &Device{User: 7}
			for _, s := range c.steps {
				s(d, b)
			}
			if got, want := int64(d.Missing(b, &c.sent)), c.want[Lost]; got != want {
				t.Errorf("%d are missing, not %d", got, want)
			}
			d.ReportMissing(b, &c.sent)
			list, counts := b.Take()
			for _, k := range []Kind{Lost, Order, Duplicate, Seq, Heartbeat, Resume, Content} {
				if counts[k] != c.want[k] {
					t.Errorf("%s: %d, want %d: %v", k, counts[k], c.want[k], list)
				}
			}
		})
	}
}

func TestRefusedAndUnknownMayBeMissing(t *testing.T) {
	b, d := New(run), &Device{User: 7}
	b.Except(Name{7, 1, 1}, Refused)
	b.Except(Name{7, 1, 3}, Unknown)
	d.Opened(b, false, false, 0)
	d.Pushed(b, 1, id(1, 2), true)
	d.Pushed(b, 2, id(1, 4), true)
	d.Pushed(b, 3, id(1, 3), true) // the unknown one, late
	d.ReportMissing(b, &Lanes{0, 4, 0})
	if list, _ := b.Take(); len(list) > 0 {
		t.Error(list)
	}
}

func TestRetriedMustComeInWhateverOrder(t *testing.T) {
	b, d := New(run), &Device{User: 7}
	b.Except(Name{7, 1, 1}, Retried)
	d.Opening()
	d.Opened(b, false, false, 0)
	d.Pushed(b, 1, id(1, 2), true)
	if n := d.Missing(b, &Lanes{0, 2, 0}); n != 1 {
		t.Errorf("%d are missing, not 1", n)
	}
	d.Pushed(b, 2, id(1, 1), true)
	d.ReportMissing(b, &Lanes{0, 2, 0})
	if list, _ := b.Take(); len(list) > 0 {
		t.Error(list)
	}
}

// TestTwoStreamsOfAMoveAreJudgedApart reads an old stream while the next one opens, which brings again what its cursor did
// not cover: that is no violation, but what the old one brings twice is.
func TestTwoStreamsOfAMoveAreJudgedApart(t *testing.T) {
	b, d := New(run), &Device{User: 7}
	d.Opening()
	d.Opened(b, false, false, 0)
	d.Pushed(b, 1, id(1, 1), true)
	old := d.Part()
	d.Opening()
	d.PushedOn(b, &old, 2, id(1, 2), true) // the cursor that was given does not cover it
	d.Opened(b, true, true, 1)
	d.Pushed(b, 2, id(1, 2), true)
	d.PushedOn(b, &old, 3, id(1, 3), false)
	d.Pushed(b, 3, id(1, 3), true)
	if list, _ := b.Take(); len(list) > 0 {
		t.Fatal(list)
	}
	d.PushedOn(b, &old, 4, id(1, 3), false)
	d.Opening()
	d.Opened(b, true, true, 3)
	d.Pushed(b, 4, id(1, 3), true)
	if list, counts := b.Take(); counts[Duplicate] != 2 || len(list) != 2 {
		t.Errorf("%v, not two duplicates", list)
	}
}

func TestViolationsNameUserDeviceAndID(t *testing.T) {
	b, d := New(run), &Device{User: 7, Num: 2}
	d.ReportMissing(b, &Lanes{0, 0, 1})
	list, _ := b.Take()
	if want := "lost: user r1-u7 device d2 id r1-7-21: it was accepted, and never came"; len(list) != 1 || list[0].String() != want {
		t.Errorf("%v, not %q", list, want)
	}
	for range keptViolations + 10 {
		d.ReportMissing(b, &Lanes{1, 0, 0})
	}
	if list, counts := b.Take(); len(list) != keptViolations || counts[Lost] != keptViolations+10 {
		t.Errorf("%d kept, %d counted", len(list), counts[Lost])
	}
}
