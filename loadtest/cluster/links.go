package main

import (
	"context"

	"ramen/internal/localcluster"
	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
)

// linkCounts is what a frontend and a gateway have sent each other over their link.
type linkCounts struct{ batches, frames, bytes [2]float64 } // frontend's, gateway's

// linksOf reads what the first frontend and the first gateway have sent; zero where they do not tell.
func (s *site) linksOf(ctx context.Context) (c linkCounts) {
	for i, end := range []struct {
		role localcluster.Role
		side string
	}{{localcluster.Frontend, "frontend"}, {localcluster.Gateway, "gateway"}} {
		m := s.Members(end.role)[0]
		read := func(name string) float64 {
			v, _ := m.Metric(ctx, `ramen_link_`+name+`_total{direction="out",side="`+end.side+`"}`)
			return v
		}
		c.batches[i], c.frames[i], c.bytes[i] = read("batches"), read("frames"), read("bytes")
	}
	return c
}

// countLinks has what goes over the link be counted from the begin of the measuring on.
func (s *site) countLinks(ctx context.Context, cfg *scenario.Config) *linkCounts {
	from := new(linkCounts)
	cfg.Measuring = func() { *from = s.linksOf(ctx) }
	return from
}

// addLinks adds how much went over the link a message.
func (s *site) addLinks(ctx context.Context, out *report.Section, from *linkCounts) {
	to, messages := s.linksOf(ctx), value(out, "accepted")
	for i, who := range []string{"frontend", "gateway"} {
		out.Add("batches that the "+who+" sent a message", (to.batches[i]-from.batches[i])/messages, "")
		out.Add("frames that the "+who+" sent a message", (to.frames[i]-from.frames[i])/messages, "")
		out.Add("bytes that the "+who+" sent a message", (to.bytes[i]-from.bytes[i])/messages, "bytes")
	}
}
