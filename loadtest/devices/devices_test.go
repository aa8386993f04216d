package devices

import (
	"testing"

	"ramen/clients/go/wire"
)

func TestMixInterleavesByWeight(t *testing.T) {
	m, err := ParseMix("ws=3, sse=1,grpc")
	if err != nil {
		t.Fatal(err)
	}
	count := map[wire.Transport]int{}
	for i := range 100 {
		count[m.pick(i)]++
	}
	if count[wire.WSProto] != 60 || count[wire.SSE] != 20 || count[wire.GRPC] != 20 {
		t.Error(count)
	}
	for _, bad := range []string{"", "mqtt", "ws=0", "ws=x", "ws,,sse"} {
		if _, err := ParseMix(bad); err == nil {
			t.Errorf("%q is a mix", bad)
		}
	}
}

func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"b":"x\"}","c":{"d":[1,"]"]},"e":true}`, `{"a"`, `{"a":`, `{"\\":"\\"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		var w walker
		w.members(b, func(name, value []byte) { n += len(name) + len(value) })
		if n > len(b) {
			t.Errorf("members of %d bytes have %d", len(b), n)
		}
		var p push
		w.push(b, &p)
		protoPush(b, &p)
	})
}

func TestConfigSaysWhatIsWrong(t *testing.T) {
	for _, cfg := range []Config{
		{URL: "http://h", Users: [2]uint32{1, 1}, Each: 1},
		{URL: "http://h", Users: [2]uint32{0, 1}, Each: 65},
		{URL: "ftp://h", Users: [2]uint32{0, 1}, Each: 1},
		{URL: "http://h", Users: [2]uint32{0, 1}, Each: 1, Mix: Mix{{wire.GRPC, 1}}},
	} {
		if f, err := New(cfg); err == nil {
			f.Close()
			t.Errorf("%+v is taken", cfg)
		}
	}
}
