package devices

// sweep checks the device's deadlines.
func (d *Device) sweep(now int64) {
	if d.old != nil && d.old.until <= now {
		d.leave()
	}
	switch d.state {
	case waiting:
		if d.due <= now {
			d.sh.enqueue(d)
		}
	case opening:
		if d.due <= now {
			d.ended(d.conn, errTimeout)
		}
	case live:
		d.sweepLive(now)
	case off, queued:
	}
}

func (d *Device) sweepLive(now int64) {
	silence := now - d.lastByte
	d.checkSilence(silence)
	switch {
	case d.interval > 0 && d.kind != pollKind && silence > int64(d.interval)*1750+d.sh.lag:
		d.ended(d.conn, errSilent)
	case d.due > 0 && d.due <= now:
		d.move()
	case d.gone > 0 && d.gone <= now:
		d.sh.depart(d)
	case d.ackDue > 0 && (d.ackDue <= now || int(d.unacked) >= d.sh.halfWindow(d.kind)):
		d.sh.ackDue(d)
	}
}
