package protocol

import "fmt"

// The objects of a device's text frame. Names are compared exactly; unknown ones are passed over.

// become notes that f is of kind, which it can be only once.
func (w *jsonWalk) become(f *DeviceFrame, kind FrameKind) bool {
	if f.Kind != FrameNone {
		w.fail(Invalidf("frame holds both ack and refresh: send one a frame"))
		return false
	}
	f.Kind = kind
	return true
}

func (w *jsonWalk) ack(f *DeviceFrame) (hasSeq bool) {
	w.open('{')
	for name, ok := w.member(); ok; name, ok = w.member() {
		switch string(name) {
		case "seq":
			f.Seq, hasSeq = Seq(w.unsigned()), true
		case "cursor":
			f.Cursor = string(w.text())
		default:
			w.value()
		}
	}
	return hasSeq
}

func (w *jsonWalk) refresh(f *DeviceFrame) {
	w.open('{')
	for name, ok := w.member(); ok; name, ok = w.member() {
		switch string(name) {
		case "token":
			f.Token = string(w.text())
		case "context":
			f.Context = new(DeviceContext)
			w.context(f.Context)
		default:
			w.value()
		}
	}
}

func (w *jsonWalk) context(c *DeviceContext) {
	w.open('{')
	for name, ok := w.member(); ok; name, ok = w.member() {
		switch string(name) {
		case "app":
			c.App = string(w.text())
		case "app_version":
			c.AppVersion = string(w.text())
		case "os":
			c.OS = string(w.text())
		case "os_version":
			c.OSVersion = string(w.text())
		case "model":
			c.Model = string(w.text())
		case "locale":
			c.Locale = string(w.text())
		case "labels":
			c.Labels = w.labels()
		default:
			w.value()
		}
	}
}

// labels is an object of strings. An empty one is no labels that are known, and not nil.
func (w *jsonWalk) labels() map[string]string {
	if m := w.texts(); m != nil {
		return m
	}
	return map[string]string{}
}

func frameErrorf(format string, args ...any) error {
	return &FrameError{Message: fmt.Sprintf(format, args...)}
}
