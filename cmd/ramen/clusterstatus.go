package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"ramen/topology/admin"
)

func clusterStatusCommand() *cobra.Command {
	var f clusterFlags
	var watch, asJSON bool
	var every time.Duration
	c := &cobra.Command{
		Use:   "status",
		Short: "Show the members of a cluster, their shards, and what moves.",
		Long: "Show the members of a cluster, with their shards, the version of the view that each acts upon, streams and rates; what moves, what is\n" +
			"draining and pinned; and where members and view contradict each other: then the exit status is 1.\n\n" +
			"With --watch, show it again and again, until it is interrupted; an answer that fails is told, and asked for again.",
		Example: "  ramen cluster status --url http://10.0.0.1:9080\n  ramen cluster status --watch\n  ramen cluster status --json | jq '.members[] | {name, shards}'",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			out := c.OutOrStdout()
			show := func() error {
				var s admin.Status
				if err := f.call(c.Context(), http.MethodGet, "", nil, &s); err != nil {
					return err
				}
				if err := printStatus(out, &s, asJSON, watch); err != nil {
					return err
				}
				if len(s.Problems) > 0 {
					return errProblems
				}
				return nil
			}
			if !watch {
				return show()
			}
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				if err := show(); err != nil && c.Context().Err() == nil {
					fmt.Fprintln(c.ErrOrStderr(), "ramen:", err)
				}
				select {
				case <-c.Context().Done():
					return nil
				case <-tick.C:
				}
			}
		},
	}
	f.bind(c)
	c.Flags().BoolVar(&watch, "watch", false, "show it again and again")
	c.Flags().DurationVar(&every, "every", time.Second, "with --watch: how often")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON as GET /v1/cluster answers it; with --watch a line each time")
	c.PreRunE = func(*cobra.Command, []string) error {
		if every < 100*time.Millisecond {
			return fmt.Errorf("cluster: --every is %v; it must be at least 100ms", every)
		}
		return nil
	}
	return c
}

func printStatus(out io.Writer, s *admin.Status, asJSON, watch bool) error {
	switch {
	case asJSON && watch:
		return json.NewEncoder(out).Encode(s)
	case asJSON:
		return writeJSON(out, s)
	}
	var b bytes.Buffer // in one write, for who watches
	if watch {
		fmt.Fprintf(&b, "\n%s\n", time.Now().Format(time.TimeOnly))
	}
	writeStatus(&b, s)
	_, err := out.Write(b.Bytes())
	return err
}

func writeStatus(b *bytes.Buffer, s *admin.Status) {
	if s.ID == "" {
		fmt.Fprintln(b, "cluster     has not been made yet: no controller is elected")
		return
	}
	v := s.View
	fmt.Fprintf(b, "cluster     %s, heard of %v ago\n", s.ID, time.Duration(s.HeardMS)*time.Millisecond)
	fmt.Fprintf(b, "controller  %s\n", cmp.Or(s.Controller, "none is elected"))
	fmt.Fprintf(b, "view        %d: %d shards, %d serving, %d releasing, %d taking, %d free\n\n", v.Version, v.Shards, v.Serving, v.Releasing, v.Taking, v.Free)
	t := tabwriter.NewWriter(b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "MEMBER\tROLE\tSTATE\tSHARDS\tVIEW\tSTREAMS\tACCEPTED/S\tPUSHED/S\tADDRESS\tZONE\tWEIGHT\tEPOCH\tVERSION\tUP")
	for i := range s.Members {
		writeMember(t, &s.Members[i])
	}
	t.Flush()
	fmt.Fprintln(b)
	writeMoves(b, s)
	for _, d := range s.Draining {
		fmt.Fprintf(b, "draining    %s: %d shards left, since %s\n", d.Name, d.Shards, since(d.SinceMS))
	}
	for _, p := range s.Pins {
		fmt.Fprintf(b, "pinned      shard %d to %s\n", p.Shard, p.To)
	}
	for _, p := range s.Problems {
		fmt.Fprintf(b, "problem     %s\n", p)
	}
}

func writeMember(w io.Writer, m *admin.Member) {
	or := func(is bool, format string, args ...any) string {
		if !is {
			return "-"
		}
		return fmt.Sprintf(format, args...)
	}
	gateway, frontend := slices.Contains(m.Roles, "gateway"), slices.Contains(m.Roles, "frontend")
	shards := fmt.Sprint(m.Shards.Serving)
	if m.Shards.Taking > 0 {
		shards += fmt.Sprintf(" +%d", m.Shards.Taking)
	}
	if m.Shards.Releasing > 0 {
		shards += fmt.Sprintf(" -%d", m.Shards.Releasing)
	}
	view := or(m.View > 0, "%d", m.View)
	if m.Behind > 0 {
		view += fmt.Sprintf(" (-%d)", m.Behind)
	}
	cells := []string{
		string(m.ID), strings.Join(m.Roles, ","), m.State, or(gateway, "%s", shards), view, or(frontend, "%d", m.Streams),
		or(gateway, "%.1f", m.Accepted), or(frontend, "%.1f", m.Pushed), cmp.Or(m.Address, m.Operators, "-"), cmp.Or(m.Zone, "-"),
		or(gateway, "%v", m.Weight), or(gateway, "%d", m.Epoch), cmp.Or(m.Version, "-"), or(m.StartedMS > 0, "%s", since(m.StartedMS)),
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// writeMoves tells how many shards are in which state at whom: not each, since there may be a thousand.
func writeMoves(b *bytes.Buffer, s *admin.Status) {
	if len(s.Moves) == 0 {
		fmt.Fprintln(b, "moves       none")
		return
	}
	at := make(map[string][]string)
	for _, m := range s.Moves {
		what := m.State
		if m.Member != "" {
			what += " at " + m.Member.Name()
		}
		at[what] = append(at[what], fmt.Sprint(m.Shard))
	}
	for _, what := range slices.Sorted(maps.Keys(at)) {
		shards := at[what]
		shown, more := shards, ""
		if len(shown) > 8 {
			shown, more = shown[:8], ", …"
		}
		fmt.Fprintf(b, "moves       %d %s: %s%s\n", len(shards), what, strings.Join(shown, ", "), more)
	}
}

func since(ms int64) string { return time.Since(time.UnixMilli(ms)).Round(time.Second).String() }

func writeControllers(out io.Writer, all []admin.Controller) error {
	t := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "CONTROLLER\tID\tROLE\tPEER\tCLIENT\tVERSION\tSIZE\tINDEX")
	for _, c := range all {
		role := "voter"
		switch {
		case c.Learner:
			role = "learner"
		case c.Leader:
			role = "leader"
		}
		state := fmt.Sprintf("%s\t%.1f MB\t%d", c.Version, float64(c.Bytes)/1e6, c.Index)
		if c.Error != "" {
			state = c.Error
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", cmp.Or(c.Name, "-"), c.ID, role, strings.Join(c.Peers, ","), cmp.Or(strings.Join(c.Clients, ","), "-"), state)
	}
	return t.Flush()
}
