package ramen_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"ramen/clients/go"
)

// An app gets trip offers until it has seen one.
func ExampleDevice() {
	url, end := devicesPort()
	defer end()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	dir, _ := os.MkdirTemp("", "ramen")
	defer os.RemoveAll(dir)

	device, err := ramen.New(ramen.DeviceConfig{
		URL:        url,
		Transports: []ramen.Transport{ramen.SSE, ramen.Poll},
		Device:     "phone-7",
		Token:      func(context.Context) (string, error) { return "a JWT from the app's own backend", nil },
		Context:    &ramen.DeviceContext{App: "rider", OS: "android"},
		Cursors:    ramen.FileCursor(filepath.Join(dir, "cursor")),
		Handler: func(_ context.Context, m *ramen.Message) error {
			var offer struct{ Fare int }
			if err := m.Decode(&offer); err != nil {
				return nil // it will never be better: take it as processed
			}
			fmt.Println(m.Type, m.Priority, offer.Fare)
			cancel()
			return nil
		},
		OnHello: func(h ramen.Hello) {
			if h.Expired > 0 {
				fmt.Println("missed", h.Expired, "messages: reload")
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := device.Run(ctx); !errors.Is(err, context.Canceled) {
		fmt.Println(err)
	}
	// Output:
	// missed 2 messages: reload
	// trip.offer high 12
}

// A backend publishes an offer that is worth something for 30 s.
func ExamplePublisher() {
	url, end := backendsPort()
	defer end()

	publisher, err := ramen.NewPublisher(ramen.PublisherConfig{URL: url, Key: "secret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer publisher.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	result, err := publisher.Publish(ctx, ramen.Publication{
		User:     "rider-1",
		ID:       "offer-1",
		Type:     "trip.offer",
		Priority: ramen.High,
		TTL:      30 * time.Second,
		Payload:  ramen.JSON(map[string]int{"fare": 12}),
	})
	fmt.Println(result.ID, result.Status, result.Devices, err)
	// Output: offer-1 accepted 1 <nil>
}

// devicesPort stands for the server.
func devicesPort() (url string, end func()) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ramen/receive" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "event: hello\ndata: {\"resumed\":true,\"stream\":\"s1\",\"seq\":3,\"heartbeat_ms\":4000,\"timeout_ms\":7000,\"ack_ms\":30000,\"expired\":2}\n\n"+
			"id: k3.x\ndata: {\"seq\":4,\"id\":\"m4\",\"type\":\"trip.offer\",\"priority\":\"high\",\"payload\":{\"fare\":12}}\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	return s.URL, s.Close
}

// backendsPort stands for the server's other side.
func backendsPort() (url string, end func()) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, `{"results":[{"id":"offer-1","status":"accepted","devices":1}]}`)
	}))
	return s.URL, s.Close
}
