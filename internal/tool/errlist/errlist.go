// Package errlist tells many errors, one for each of many things, in one line.
//
// errors.Join has a line for each: a thousand of them, where one server does not answer for a thousand shards.
package errlist

import (
	"errors"
	"fmt"
	"strings"
)

// most is how many different causes are told.
const most = 3

// list is errors, of which the first of each cause is told.
type list []error

// Of is nil where there is no error in errs, and otherwise an error that wraps all of them. It tells up to three that differ in their cause,
// which is what the outermost of each wraps, and how many there are.
func Of(errs []error) error {
	var all list
	for _, err := range errs {
		if err != nil {
			all = append(all, err)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}

// Unwrap has errors.Is and errors.As look at all of them.
func (l list) Unwrap() []error { return l }

func (l list) Error() string {
	var told []string
	causes := make(map[string]bool)
	for _, err := range l {
		cause := errors.Unwrap(err)
		if cause == nil {
			cause = err
		}
		if text := cause.Error(); !causes[text] {
			if causes[text] = true; len(told) < most {
				told = append(told, err.Error())
			}
		}
	}
	text := strings.Join(told, "; ")
	if n := len(l) - len(told); n > 0 {
		text += fmt.Sprintf("; and %d more", n)
	}
	return text
}
