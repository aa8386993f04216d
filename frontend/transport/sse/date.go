package sse

import (
	"net/http"
	"sync/atomic"
	"time"
)

// date is the text of the header Date, which is made once a second. RFC 9110 6.6.1.
type date struct{ last atomic.Pointer[madeDate] }

type madeDate struct {
	unix int64 // s
	text string
}

func (d *date) now() string {
	t := time.Now()
	if last := d.last.Load(); last != nil && last.unix == t.Unix() {
		return last.text
	}
	made := &madeDate{t.Unix(), t.UTC().Format(http.TimeFormat)}
	d.last.Store(made)
	return made.text
}
