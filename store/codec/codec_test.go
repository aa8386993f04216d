package codec

import (
	"bytes"
	"reflect"
	"testing"

	"ramen/protocol"
	"ramen/store"
)

func plainEntry(id string, p protocol.Priority, micros uint64) store.Entry {
	return store.Entry{Position: protocol.Position{Epoch: 1, Micros: micros}, Message: &protocol.Message{
		ID: protocol.MessageID(id), Priority: p, ContentType: protocol.ContentTypeJSON, CreatedMS: 1, ExpiresMS: 2, Payload: bytes.Repeat([]byte("p"), 100),
	}}
}

func fullEntry() store.Entry {
	e := plainEntry("id", protocol.PriorityLow, 7)
	e.Device, e.Where = "phone", map[string]string{"os": "ios", "app": ""}
	e.Message.ContentType, e.Message.CollapseKey = "text/plain", "key"
	e.Message.Headers = map[string]string{"trace": "1", "a": "b"}
	return e
}

func fullDevice() store.Device {
	return store.Device{
		ID: "phone", Acked: protocol.Cursor{Seq: 300, At: protocol.Positions{{Epoch: 1, Micros: 1 << 60}}}, Expired: 3, Greeted: true, Live: true,
		Transport: protocol.TransportWS, LastSeenMS: 1 << 40,
		Context: &protocol.DeviceContext{App: "a", Labels: map[string]string{"x": "y", "z": ""}},
	}
}

func placeOf(e store.Entry) store.Ref {
	return store.Ref{Priority: e.Message.Priority, Position: e.Position}
}

// What is read is what was written, byte by byte: a value has one form only.
func FuzzDecodeEntry(f *testing.F) {
	full := fullEntry()
	for _, e := range []store.Entry{plainEntry("a", protocol.PriorityHigh, 1), full} {
		v, _ := AppendEntry(nil, &e, nil)
		f.Add(v)
		f.Add(v[:len(v)/2])
		f.Add(v[:entryFixed])
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := DecodeEntry(placeOf(full), value)
		if err != nil {
			return
		}
		again, _ := AppendEntry(nil, &e, nil)
		if !bytes.Equal(again, value) {
			t.Fatalf("%x was read as %+v, which is written %x", value, e.Message, again)
		}
	})
}

func FuzzDecodeDevice(f *testing.F) {
	for _, d := range []store.Device{{}, fullDevice()} {
		v := AppendDevice(nil, &d)
		f.Add(v)
		f.Add(v[:len(v)-1])
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		d, err := DecodeDevice([]byte("phone"), value)
		if err != nil {
			return
		}
		if again := AppendDevice(nil, &d); !bytes.Equal(again, value) {
			t.Fatalf("%x was read as %+v, which is written %x", value, d, again)
		}
	})
}

func TestValuesComeBackWhole(t *testing.T) {
	e := fullEntry()
	v, _ := AppendEntry(nil, &e, nil)
	if got, err := DecodeEntry(placeOf(e), v); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("entry %+v, %v", got, err)
	}
	d := fullDevice()
	if got, err := DecodeDevice([]byte(d.ID), AppendDevice(nil, &d)); err != nil || !reflect.DeepEqual(got, d) {
		t.Errorf("device %+v, %v", got, err)
	}
	for i := range v {
		if got, err := DecodeEntry(placeOf(e), v[:i]); err == nil && len(got.Message.Payload) == 100 {
			t.Errorf("entry cut to %d bytes was read", i)
		}
	}
}
