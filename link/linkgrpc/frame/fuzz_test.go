package frame

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	"ramen/link/linkgrpc/linkpb"
)

// decode reads the body of a frame, whatever it is, and writes it again.
func decode(f *Frame) (again []byte, err error) {
	switch f.Kind {
	case KindHello:
		h, err := ReadHello(f.Body)
		return AppendHello(nil, &h), err
	case KindGoAway:
		reason, err := GoAway(f.Body)
		return AppendGoAway(nil, reason), err
	case KindOpen:
		o, err := Open(f.Body)
		return AppendOpen(nil, f.ID, f.Timeout, &o), err
	case KindStreamAck:
		seq, cursor, err := StreamAck(f.Body)
		return AppendStreamAck(nil, f.ID, seq, cursor), err
	case KindRefresh:
		c, err := Refresh(f.Body)
		return AppendRefresh(nil, f.ID, c), err
	case KindOpened:
		o, err := Opened(f.Body)
		return AppendOpened(nil, f.ID, &o), err
	case KindPushes:
		batch, more, err := Pushes(nil, f.Body, new(Words))
		if err != nil {
			return nil, err
		}
		return AppendPushes(nil, f.ID, batch, more), nil
	case KindClosed:
		reason, detail, err := Closed(f.Body)
		return AppendClosed(nil, f.ID, reason, detail), err
	case KindLost:
		l, err := Lost(f.Body)
		return AppendLost(nil, f.ID, l), err
	case KindPublish:
		batch, more, err := Publish(nil, f.Body, new(Words))
		if err != nil {
			return nil, err
		}
		return AppendPublish(nil, f.ID, f.Timeout, batch, more), nil
	case KindAck:
		a, err := Ack(f.Body)
		return AppendAck(nil, f.ID, f.Timeout, &a), err
	case KindDevices:
		m, err := Devices(f.Body)
		return AppendDevices(nil, f.ID, f.Timeout, m), err
	case KindMessages:
		m, p, err := Messages(f.Body)
		return AppendMessages(nil, f.ID, f.Timeout, m, p), err
	case KindRecall:
		m, id, err := Recall(f.Body)
		return AppendRecall(nil, f.ID, f.Timeout, m, id), err
	case KindDisconnect:
		m, d, detail, err := Disconnect(f.Body)
		return AppendDisconnect(nil, f.ID, f.Timeout, m, d, detail), err
	case KindResults:
		results, err := Results(f.Body)
		return AppendResults(nil, f.ID, results), err
	case KindDeviceList:
		devices, err := DeviceList(f.Body)
		return AppendDeviceList(nil, f.ID, devices), err
	case KindMessagePage:
		p, err := MessagePage(f.Body)
		return AppendMessagePage(nil, f.ID, &p), err
	case KindError:
		err := Error(f.Body)
		if errors.Is(err, ErrMalformed) {
			return nil, err
		}
		return AppendError(nil, f.ID, err), nil
	}
	return nil, nil
}

// FuzzFrames: no bytes are too much for a decoder. What it takes it writes so that it reads the same again; and it takes whatever
// linkpb writes, but for a push or a publish without its message.
func FuzzFrames(f *testing.F) {
	for _, c := range frames {
		f.Add(c.append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		all(t, b)
		if !bytes.Equal(before, b) {
			t.Fatal("reading has changed what is read")
		}
		m := new(linkpb.Batch)
		if (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, m) != nil || incomplete(m) {
			return
		}
		canonical, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := all(t, canonical); err != nil {
			t.Fatalf("%v of %v", err, m)
		}
	})
}

// all reads every frame of a batch.
func all(t *testing.T, b []byte) error {
	t.Helper()
	r, f := Read(b), Frame{}
	for r.Next(&f) {
		again, err := decode(&f)
		if err != nil {
			return err
		}
		if again == nil {
			continue
		}
		var g Frame
		s := Read(again)
		if f.Kind == KindHello || f.Kind == KindGoAway { // of the link
			f.ID = 0
		}
		if !s.Next(&g) || g.ID != f.ID || g.Kind != f.Kind {
			t.Fatalf("%+v was written as %+v", f, g)
		}
		third, err := decode(&g)
		if err != nil || !bytes.Equal(again, third) {
			t.Fatalf("kind %d: %x\nwas read and written as %x, %v", f.Kind, again, third, err)
		}
	}
	return r.Err()
}

// incomplete reports whether a push has no message, or a publish none and none before it.
func incomplete(m *linkpb.Batch) bool {
	for _, f := range m.Frames {
		for _, p := range f.GetPushes().GetPushes() {
			if p.Message == nil {
				return true
			}
		}
		if all := f.GetPublish().GetPublishes(); len(all) > 0 && all[0].Message == nil {
			return true
		}
	}
	return false
}
