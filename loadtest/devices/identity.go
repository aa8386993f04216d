package devices

import (
	"math/rand/v2"

	"ramen/loadtest/expect"
	"ramen/protocol"
)

// open makes the parameters of the device's next opening.
func (d *Device) open() (protocol.OpenFrame, error) {
	o, err := d.identity()
	o.Window, o.HeartbeatMS = uint32(d.sh.cfg.Window), uint32(d.sh.cfg.Heartbeat.Milliseconds())
	d.resumes = len(d.cursor) > 0 && (d.sh.cfg.Forget == 0 || rand.Float64() >= d.sh.cfg.Forget)
	if d.resumes {
		o.Cursor = string(d.cursor)
	}
	d.Opening()
	return o, err
}

// identity makes the part of the parameters that says who the device is.
func (d *Device) identity() (protocol.OpenFrame, error) {
	run := d.sh.cfg.Expected.Run
	o := protocol.OpenFrame{User: protocol.UserID(expect.UserName(run, d.User)), Device: protocol.DeviceID(expect.DeviceName(d.Num))}
	if d.sh.cfg.Token == nil {
		return o, nil
	}
	var err error
	o.Token, err = d.sh.cfg.Token(string(o.User), string(o.Device))
	o.User = ""
	return o, err
}
