package frontend

import (
	"net/http"
	"sync/atomic"
	"time"
)

// dates is the text of the header Date, which is made once a second. RFC 9110 6.6.1.
type dates struct{ last atomic.Pointer[date] }

type date struct {
	unix int64 // s
	text string
}

func (d *dates) now() string {
	t := time.Now()
	if last := d.last.Load(); last != nil && last.unix == t.Unix() {
		return last.text
	}
	made := &date{t.Unix(), t.UTC().Format(http.TimeFormat)}
	d.last.Store(made)
	return made.text
}
