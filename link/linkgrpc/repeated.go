package linkgrpc

import "log/slog"

// repeated logs what becomes of one link: an error that comes again and again is told once.
type repeated struct {
	log  *slog.Logger
	last string // the error that was told; empty: the link stands, or never stood
}

func (r *repeated) up() {
	r.last = ""
	r.log.Info("linkgrpc: link is up")
}

func (r *repeated) down(err error) {
	if err == nil || err.Error() == r.last {
		return
	}
	r.last = err.Error()
	r.log.Warn("linkgrpc: link is down; connecting again", "cause", err)
}
