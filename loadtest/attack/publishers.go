package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"ramen/protocol/ramenpb"
)

// slowPublishers take the server's room for publishes that are under way, and do not give it back.
var slowPublishers = []attack{
	{name: "publish-streams-deaf", small: true, what: "16 PublishStreams with a key that send and never read their answers", flood: deafStreams},
	{name: "bodies-declared", what: "64 bodies of 4 MiB that are declared and come byte by byte", flood: slowBodies(0)},
	{name: "bodies-unfinished", what: "64 bodies of 4 MiB of which the last byte never comes", flood: slowBodies(4<<20 - 1)},
}

// deafStreams sends requests and takes no answers: those that fit the stream's first window are all that the server can send.
func deafStreams(ctx context.Context, t *target) {
	request := &ramenpb.PublishRequest{}
	for i := range 1000 {
		request.Messages = append(request.Messages, &ramenpb.Publish{User: fmt.Sprintf("flood-%d", i%100), Payload: []byte(`"` + strings.Repeat("x", 1000) + `"`), TtlMs: 1000})
	}
	t.each(ctx, t.n(16, 8), func(ctx context.Context, _ int) error {
		conn, err := grpc.NewClient(t.BackendsGRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		defer conn.Close()
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+t.Key)
		stream, err := ramenpb.NewBackendClient(conn).PublishStream(ctx)
		if err != nil {
			return err
		}
		t.count("connections", 1)
		for { // it blocks once the server no longer reads
			if err := stream.Send(request); err != nil {
				return err
			}
			t.count("requests", 1)
		}
	})
}

// slowBodies sends a head and so much of a body, and then one byte a second.
func slowBodies(sent int) func(ctx context.Context, t *target) {
	return func(ctx context.Context, t *target) {
		head := fmt.Sprintf("POST /v1/publish HTTP/1.1\r\nHost: ramen\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", t.Key, 4<<20)
		body := `{"messages":[{"user":"flood","payload":"` + strings.Repeat("x", max(0, sent-40))
		t.each(ctx, t.n(64, 64), func(ctx context.Context, _ int) error {
			c, err := t.dial(ctx, t.Backends)
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := io.WriteString(c, head+body[:min(len(body), max(sent, 40))]); err != nil {
				return err
			}
			if sent > 0 {
				_, err := io.Copy(io.Discard, c) // until the server has had enough, or the flood is over
				return err
			}
			for {
				sleep(ctx, time.Second)
				if _, err := io.WriteString(c, "x"); err != nil {
					return err
				}
			}
		})
	}
}
