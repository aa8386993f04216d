package grpcstatus

import (
	"io"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ramen/protocol"
)

// TestReasonsHaveTheCodesOfTheContract has a row for each reason, so that a new one is not forgotten. SPEC 7.
func TestReasonsHaveTheCodesOfTheContract(t *testing.T) {
	want := map[protocol.Reason]struct {
		code codes.Code
		read protocol.Reason // what a device makes of it
	}{
		protocol.ReasonDrain:             {codes.Unavailable, protocol.ReasonNone},
		protocol.ReasonRebalance:         {codes.Unavailable, protocol.ReasonNone},
		protocol.ReasonSuperseded:        {codes.Aborted, protocol.ReasonSuperseded},
		protocol.ReasonUnauthenticated:   {codes.Unauthenticated, protocol.ReasonUnauthenticated},
		protocol.ReasonPermissionDenied:  {codes.PermissionDenied, protocol.ReasonPermissionDenied},
		protocol.ReasonInvalidArgument:   {codes.InvalidArgument, protocol.ReasonInvalidArgument},
		protocol.ReasonResourceExhausted: {codes.ResourceExhausted, protocol.ReasonResourceExhausted},
		protocol.ReasonAckTimeout:        {codes.DeadlineExceeded, protocol.ReasonNone},
		protocol.ReasonTooSlow:           {codes.ResourceExhausted, protocol.ReasonResourceExhausted},
		protocol.ReasonUnavailable:       {codes.Unavailable, protocol.ReasonNone},
		protocol.ReasonDisconnected:      {codes.Canceled, protocol.ReasonNone},
		protocol.ReasonInternal:          {codes.Internal, protocol.ReasonNone},
		protocol.ReasonGone:              {codes.Canceled, protocol.ReasonNone},
		protocol.ReasonProtocolError:     {codes.InvalidArgument, protocol.ReasonInvalidArgument},
		protocol.ReasonTooBig:            {codes.InvalidArgument, protocol.ReasonInvalidArgument},
	}
	for _, r := range protocol.Reasons() {
		w, known := want[r]
		if !known {
			t.Errorf("%s has no row here", r)
		}
		if got := ReasonCode(r); got != w.code {
			t.Errorf("%s: %v, want %v", r, got, w.code)
		}
		if r == protocol.ReasonGone {
			continue
		}
		read, detail := ReadStreamEnd(StreamEnd(r, "because"))
		if read != w.read {
			t.Errorf("%s is read as %q, want %q", r, read, w.read)
		}
		if read == r && detail != "because" {
			t.Errorf("%s: detail is %q", r, detail)
		}
	}
}

func TestReasonOfANewerPeerIsInternal(t *testing.T) {
	for r := len(protocol.Reasons()) + 1; r <= 255; r++ {
		if got := ReasonCode(protocol.Reason(r)); got != codes.Internal {
			t.Fatalf("%d is %v", r, got)
		}
	}
}

func TestAStreamThatTheDeviceClosedEndsWell(t *testing.T) {
	if s := StreamEnd(protocol.ReasonGone, "closed"); s.Code() != codes.OK || s.Message() != "" {
		t.Error(s)
	}
}

func TestErrorsOfCallsAreReadAsTheyAreWritten(t *testing.T) {
	for _, c := range []struct {
		code protocol.Code
		grpc codes.Code
		read protocol.Code
	}{ // SPEC 4, 7
		{protocol.CodeInvalidArgument, codes.InvalidArgument, protocol.CodeInvalidArgument},
		{protocol.CodeUnauthenticated, codes.Unauthenticated, protocol.CodeUnauthenticated},
		{protocol.CodePermissionDenied, codes.PermissionDenied, protocol.CodePermissionDenied},
		{protocol.CodeNotFound, codes.NotFound, protocol.CodeNotFound},
		{protocol.CodeTooLarge, codes.ResourceExhausted, protocol.CodeResourceExhausted},
		{protocol.CodeResourceExhausted, codes.ResourceExhausted, protocol.CodeResourceExhausted},
		{protocol.CodeUnavailable, codes.Unavailable, protocol.CodeUnavailable},
		{protocol.CodeInternal, codes.Internal, ""},
		{"of a newer peer", codes.Internal, ""},
	} {
		err := CallError(protocol.Errorf(c.code, "because"))
		if status.Code(err) != c.grpc {
			t.Errorf("%s: %v", c.code, err)
		}
		read, ok := ReadCallError(err)
		if ok != (c.read != "") || ok && (read.Code != c.read || read.Message != "because") {
			t.Errorf("%s is read as %v", c.code, read)
		}
	}
	if e, ok := ReadCallError(io.EOF); ok {
		t.Errorf("the end of a stream is read as %v", e)
	}
}
