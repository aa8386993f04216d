package observe

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"ramen/clients/go/wire"
	"ramen/loadtest/ledger/judge"
	"ramen/protocol"
)

// mostOfAnswer bounds a poll's answer, in bytes.
const mostOfAnswer = 32 << 20

// polls polls again and again for life; with drain until nothing has come for so long. Each poll is a stream of its own, so it is not
// package wire's transport, which makes one of them all. It reports whether its time was over.
func (d *device) polls(ctx context.Context, at Addresses, life time.Duration, drain bool) bool {
	client := &http.Client{Timeout: callTime, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for end := time.Now().Add(life); ctx.Err() == nil && time.Now().Before(end); {
		rec := &judge.Stream{Transport: string(wire.Poll), Server: at.Devices, Opened: d.clients.cfg.Clock.Now(), From: d.place}
		answer := d.poll(ctx, client, at, rec)
		rec.Ended = d.clients.cfg.Clock.Now()
		d.dropGhost()
		if answer == nil {
			return false
		}
		d.rec.Streams = append(d.rec.Streams, rec)
		if answer.GoAway != nil {
			rec.End = answer.GoAway.Reason.String()
			d.checkReason(rec, answer.GoAway.Reason, answer.GoAway.Detail)
			return false
		}
		rec.Greeted, rec.Resumed, rec.Expired = d.clients.cfg.Clock.Now(), answer.Resumed, answer.Expired
		shift := 0
		for i := range answer.Messages {
			if d.clients.tampering.drops(d.rec.User, string(answer.Messages[i].Message.ID)) {
				shift--
				continue
			}
			d.received(rec, &answer.Messages[i], shift)
		}
		if drain || d.rng.IntN(4) > 0 {
			d.processed(answer.Cursor, judge.Place{Stream: len(d.rec.Streams) - 1, Pushes: len(rec.Pushes)})
		}
		if drain && len(rec.Pushes) > 0 {
			end = time.Now().Add(life)
		}
	}
	return ctx.Err() == nil
}

// poll makes one request. nil: there was no answer.
func (d *device) poll(ctx context.Context, client *http.Client, at Addresses, rec *judge.Stream) *protocol.PollAnswer {
	q := wire.Query(d.frame())
	q.Set("wait", strconv.Itoa(1+d.rng.IntN(2)))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at.Devices+"/ramen/poll?"+q.Encode(), nil)
	if err != nil {
		d.fault("poll: %v", err)
		return nil
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		d.checkEnd(rec, wire.ReadError(resp))
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostOfAnswer))
	if err != nil {
		return nil
	}
	answer, err := protocol.DecodePollAnswer(body)
	if err != nil {
		d.fault("poll: %v", err)
		return nil
	}
	return answer
}
