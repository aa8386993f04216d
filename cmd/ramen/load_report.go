package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"runtime"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"ramen/loadtest/report"
	"ramen/loadtest/scenario"
)

// told is what says a scenario's findings when it has ended.
func (f *loadFlags) told(out, errOut io.Writer) func(*report.Section) {
	if !f.table {
		return func(s *report.Section) {
			one := report.Report{Sections: []report.Section{*s}}
			fmt.Fprint(out, one.Text())
		}
	}
	return func(s *report.Section) {
		text := "every check passed"
		if len(s.Counts) > 0 {
			text = "PROMISES WERE NOT KEPT"
		}
		if s.Failed != "" {
			text = "DID NOT FINISH: " + s.Failed
		}
		fmt.Fprintf(errOut, "%s: %s: %s\n", strings.TrimPrefix(s.Command, "ramen "), s.About, text)
	}
}

// warn says beforehand what will make figures worse than they should be.
func (f *loadFlags) warn(errOut io.Writer) {
	if f.cfg.Serve && runtime.NumCPU() < 2 {
		fmt.Fprintln(errOut, "load: the server and the load share this machine's one processor: CPU times and memory are right, but latencies and rates are not; use two or more")
	}
}

// alone is the command that runs one scenario of a file by itself.
func (f *loadFlags) alone(p scenario.Params) string {
	parts := []string{"ramen", "load", p.Scenario}
	add := func(set bool, flag string) {
		if set {
			parts = append(parts, flag)
		}
	}
	add(f.cfg.Serve, "--serve")
	add(f.cfg.Unbound, "--unbound")
	add((f.cfg.Auth || p.Auth) && !p.Baseline, "--auth")
	add(f.cfg.Target.TLS || p.TLS, "--tls")
	add(f.cfg.Dir != "", "--dir "+f.cfg.Dir)
	add(f.cfg.Store != "" && !p.Baseline, "--store "+quoted(withoutPassword(f.cfg.Store)))
	add(f.cfg.Cache != "" && !p.Baseline, "--cache "+quoted(withoutPassword(f.cfg.Cache)))
	if !p.Baseline {
		for _, flag := range append(f.cfg.Args[:len(f.cfg.Args):len(f.cfg.Args)], p.Server...) {
			parts = append(parts, "--server-flag="+quoted(flag))
		}
	}
	if !f.cfg.Serve {
		t := &f.cfg.Target
		parts = append(parts, "--url "+quoted(t.Devices), "--grpc "+quoted(t.DevicesGRPC), "--backends "+quoted(t.Backends), "--backends-grpc "+quoted(t.BackendsGRPC))
	}
	return strings.Join(append(parts, scenarioFlags(p)...), " ")
}

// scenarioFlags are the flags that make p of nothing.
func scenarioFlags(p scenario.Params) []string {
	q := scenario.Params{Scenario: p.Scenario}
	fl := pflag.NewFlagSet("", pflag.ContinueOnError)
	bindScenario(fl, &q)
	if p.Scenario == "slow" {
		bindSlow(fl, &q)
	}
	q = p // the flags show it now
	var list []string
	fl.VisitAll(func(flag *pflag.Flag) {
		switch v := flag.Value.String(); {
		case v == flag.DefValue:
		case v == "true":
			list = append(list, "--"+flag.Name)
		default:
			list = append(list, "--"+flag.Name+" "+quoted(v))
		}
	})
	return list
}

// password is what a URL has between its user and its host.
var password = regexp.MustCompile(`(://[^/?#:@]*:)[^/?#@]*@`)

// withoutPassword is a text whose URLs have stars for their passwords.
func withoutPassword(text string) string { return password.ReplaceAllString(text, "${1}***@") }

// quoted is a word as a shell takes it.
func quoted(word string) string {
	if strings.ContainsAny(word, " \t'\"$`\\*?&|;<>()#~") || word == "" {
		return strconv.Quote(word)
	}
	return word
}

func (f *loadFlags) write(r *report.Report) error {
	var errs []error
	if f.jsonFile != "" {
		errs = append(errs, r.WriteFile(f.jsonFile, r.WriteJSON))
	}
	if f.htmlFile != "" {
		errs = append(errs, r.WriteFile(f.htmlFile, r.WriteHTML))
	}
	return errors.Join(errs...)
}
