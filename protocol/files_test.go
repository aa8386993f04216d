package protocol

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// readTestdata reads one of the files that are written by hand.
func readTestdata[T any](t testing.TB, file string) (all []T) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err == nil {
		err = json.Unmarshal(b, &all)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// deviceCase is one of testdata/device.json.
type deviceCase struct {
	Name     string
	JSON     *string
	JSONHex  string       `json:"json_hex"`
	ProtoHex *string      `json:"proto_hex"`
	Answer   string       // ok, contract, invalid_argument
	Device   *valueDevice // where ok
}

// bytes is the frame, and its decoder.
func (c *deviceCase) bytes() ([]byte, func([]byte, *DeviceFrame) error) {
	if c.ProtoHex != nil {
		b, _ := hex.DecodeString(*c.ProtoHex)
		return b, DecodeProtoDeviceFrame
	}
	if c.JSON != nil {
		return []byte(*c.JSON), DecodeJSONDeviceFrame
	}
	b, _ := hex.DecodeString(c.JSONHex)
	return b, DecodeJSONDeviceFrame
}

func answerOf(err error) string {
	switch err := err.(type) {
	case nil:
		return "ok"
	case *FrameError:
		return "contract"
	case *Error:
		return string(err.Code)
	}
	return err.Error()
}

func TestDeviceFramesAreJudgedAsListed(t *testing.T) {
	for _, c := range readTestdata[deviceCase](t, "device.json") {
		t.Run(c.Name, func(t *testing.T) {
			b, decode := c.bytes()
			var f DeviceFrame
			err := decode(b, &f)
			if answer := answerOf(err); answer != c.Answer {
				t.Fatalf("%q: %s (%v), want %s", b, answer, err, c.Answer)
			}
			if err != nil {
				return
			}
			got := plainDevice(&f)
			if c.Device.Cursor != "" {
				c.Device.Seq = nil // the cursor counts
			}
			wantSame(t, got, c.Device)
		})
	}
}

// sseCase is one of testdata/sse.json.
type sseCase struct {
	Name   string
	Stream string
	Events []sseEvent
}

type sseEvent struct {
	Event   string
	ID      string
	Data    string
	RetryMS int `json:"retry_ms"`
}

// readSSE feeds a stream in pieces of n bytes.
func readSSE(stream []byte, n int) (all []sseEvent, err error) {
	var d SSEDecoder
	for len(stream) > 0 && err == nil {
		piece := stream[:min(n, len(stream))]
		stream = stream[len(piece):]
		err = d.Feed(append([]byte(nil), piece...), func(ev SSEEvent) error {
			all = append(all, sseEvent{ev.Name, ev.ID, string(ev.Data), ev.RetryMS})
			return nil
		})
	}
	return all, err
}

func TestSSEStreamsAreReadAsListedHoweverCut(t *testing.T) {
	for _, c := range readTestdata[sseCase](t, "sse.json") {
		t.Run(c.Name, func(t *testing.T) {
			for n := 1; n <= len(c.Stream); n++ {
				got, err := readSSE([]byte(c.Stream), n)
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != len(c.Events) {
					t.Fatalf("pieces of %d: %+v, want %+v", n, got, c.Events)
				}
				for i := range got {
					if got[i] != c.Events[i] {
						t.Fatalf("pieces of %d: event %d is %+v, want %+v", n, i, got[i], c.Events[i])
					}
				}
			}
		})
	}
}

// compactCase is one of testdata/compact.json.
type compactCase struct {
	Name  string
	In    string
	InHex string `json:"in_hex"`
	Out   *string
}

func (c *compactCase) bytes() []byte {
	if c.InHex == "" {
		return []byte(c.In)
	}
	b, _ := hex.DecodeString(c.InHex)
	return b
}

func TestPayloadsAreCompactedAsListed(t *testing.T) {
	for _, c := range readTestdata[compactCase](t, "compact.json") {
		in := c.bytes()
		got, err := CompactJSON([]byte("kept:"), in)
		switch {
		case c.Out == nil && err == nil:
			t.Errorf("%s: %q is accepted as %q", c.Name, in, got)
		case c.Out == nil && string(got) != "kept:":
			t.Errorf("%s: %q left %q", c.Name, in, got)
		case c.Out != nil && (err != nil || string(got) != "kept:"+*c.Out):
			t.Errorf("%s: %q became %q (%v), want %q", c.Name, in, got, err, *c.Out)
		}
		if c.Out == nil {
			if answerOf(err) != "invalid_argument" {
				t.Errorf("%s: %q: %v", c.Name, in, err)
			}
		}
	}
}
