package backend

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"

	"ramen/protocol"
	"ramen/protocol/ramenpb"
)

// manyMessages is a mailbox of n messages with the longest payloads that lists show.
func manyMessages(n int) []*protocol.Message {
	list := make([]*protocol.Message, n)
	for i := range list {
		list[i] = &protocol.Message{ID: protocol.MessageID(fmt.Sprint("m", i)), Priority: protocol.PriorityLow, Payload: make([]byte, maxListed), ContentType: "application/octet-stream"}
	}
	return list
}

// unreadGRPC asks for a list and does not read it.
func unreadGRPC(t *testing.T, r *rig) {
	t.Helper()
	conn, err := grpc.NewClient(r.conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStaticStreamWindowSize(64<<10),
		grpc.WithDefaultCallOptions(grpc.UseCompressor(gzip.Name)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, ramenpb.Backend_ListMessages_FullMethodName)
	if err == nil {
		err = stream.SendMsg(&ramenpb.ListMessagesRequest{User: "u"})
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil {
		_, err = stream.Header() // it is being answered
	}
	if err != nil {
		t.Fatal(err)
	}
}

// unreadHTTP is the same over HTTP.
func unreadHTTP(t *testing.T, r *rig) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := io.WriteString(conn, "GET /v1/users/u/messages HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func TestFix20ListsThatAreNotReadAreBoundedAndEnd(t *testing.T) {
	for _, c := range []struct {
		name   string
		unread func(*testing.T, *rig)
	}{{"gRPC", unreadGRPC}, {"HTTP", unreadHTTP}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.ListBytes = 16 << 20 }, nil)
			r.messages = manyMessages(1000)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c.unread(t, r)

			_, err := r.grpc.ListMessages(ctx, &ramenpb.ListMessagesRequest{User: "u"})
			wantStatus(t, "a second list", err, codes.ResourceExhausted, "clients are reading lists")
			res, body := r.do(t, "GET", "/v1/users/u/messages", "")
			if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") == "" || !strings.Contains(body, `"unavailable"`) {
				t.Errorf("over HTTP: %d %v %s", res.StatusCode, res.Header, body)
			}
			if _, err := r.grpc.Publish(ctx, request(&ramenpb.Publish{User: "u"})); err != nil {
				t.Errorf("a publish meanwhile: %v", err)
			}
		})
		t.Run(c.name+" ends", func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.ListBytes = 16 << 20 }, nil)
			r.messages = manyMessages(1000)
			r.server.listTime = -r.server.timeFor(messagesBytes(r.messages)) + listTime + time.Second // with what is for its length: a second
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			c.unread(t, r)
			for { // its room is free again
				got, err := r.grpc.ListMessages(ctx, &ramenpb.ListMessagesRequest{User: "u"})
				if err == nil && len(got.Messages) == 1000 {
					break
				}
				if code := status.Code(err); code != codes.ResourceExhausted && code != codes.Unavailable { // its own may have come too late
					t.Fatal(err)
				}
			}
		})
	}
}

// A list that is read gives its room back, whatever its length, and leaves the connection as it was.
func TestFix20ListsThatAreReadHoldNothing(t *testing.T) {
	r := newRig(t, func(c *Config) { c.ListBytes = 1 << 20 }, nil)
	for _, n := range []int{0, 1, 3, 1000} {
		r.messages = manyMessages(n)
		for range 3 {
			got, err := r.grpc.ListMessages(t.Context(), &ramenpb.ListMessagesRequest{User: "u"}, grpc.UseCompressor(gzip.Name))
			if err != nil || len(got.Messages) != n {
				t.Fatalf("%d messages of %d: %v", len(got.GetMessages()), n, err)
			}
			for !r.server.lists.TryAcquire(r.server.cfg.ListBytes) { // the server hears of it a moment later
			}
			r.server.lists.Release(r.server.cfg.ListBytes)
			if res, body := r.do(t, "GET", "/v1/users/u/messages", ""); res.StatusCode != 200 || strings.Count(body, `"id"`) != n {
				t.Fatalf("over HTTP: %d with %d messages of %d", res.StatusCode, strings.Count(body, `"id"`), n)
			}
			if res, _ := r.do(t, "GET", "/v1/users/u/devices", ""); res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
		}
	}
}
