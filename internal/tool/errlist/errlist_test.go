package errlist

import (
	"errors"
	"fmt"
	"testing"
)

// TestCausesAreToldOnce: the first error of each cause is told, up to three, and all are wrapped.
func TestCausesAreToldOnce(t *testing.T) {
	silent, refused := errors.New("no answer"), errors.New("refused")
	var errs []error
	for i := range 300 {
		cause := silent
		if i == 7 {
			cause = refused
		}
		errs = append(errs, fmt.Errorf("read shard %d: %w", i, cause), nil)
	}
	err := Of(errs)
	if want := "read shard 0: no answer; read shard 7: refused; and 298 more"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
	if !errors.Is(err, refused) || !errors.Is(err, silent) {
		t.Error("a cause is not wrapped")
	}
}

// TestFewErrors: none is nil, and one is itself.
func TestFewErrors(t *testing.T) {
	one := errors.New("one")
	if err := Of([]error{nil, nil}); err != nil {
		t.Errorf("of none: %v", err)
	}
	if err := Of([]error{nil, one}); err != one {
		t.Errorf("of one: %v", err)
	}
	var differ []error
	for i := range 5 {
		differ = append(differ, fmt.Errorf("%d", i))
	}
	if got, want := Of(differ).Error(), "0; 1; 2; and 2 more"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
