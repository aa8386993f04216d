package config

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sample has a field of every kind.
type sample struct {
	Listen   string  `yaml:"listen" doc:"Address: host:port."`
	Frontend section `yaml:"frontend" doc:"What devices talk to."`
	Gateway  struct {
		Window  int     `yaml:"window" doc:"Pushes | unacked."`
		Ratio   float64 `yaml:"ratio"`
		Shards  uint16  `yaml:"shards"`
		Memory  Bytes   `yaml:"memory"`
		Payload int     `yaml:"max_payload" unit:"bytes"`
		Mailbox int64   `yaml:"mailbox_bytes"`
		None    int64   `yaml:"none_bytes"`
	} `yaml:"gateway"`
	Level   slog.Level        `yaml:"level"`
	Key     string            `yaml:"key" secret:"true"`
	Labels  map[string]string `yaml:"labels"`
	Limits  map[string]int    `yaml:"limits"`
	Peers   []peer            `yaml:"peers"`
	Zones   map[string]peer   `yaml:"zones"`
	Ignored *slog.Logger
}

type section struct {
	AckTimeout time.Duration   `yaml:"ack_timeout" doc:"How long a device may hold a full window. Nothing acked for as long: its stream ends, and it comes back by itself."`
	Origins    []string        `yaml:"origins"`
	TLS        bool            `yaml:"tls"`
	Waits      []time.Duration `yaml:"waits"`
}

type peer struct {
	Name string        `yaml:"name"`
	Wait time.Duration `yaml:"wait"`
}

func defaults() sample {
	var s sample
	s.Listen = "127.0.0.1:8080"
	s.Frontend = section{AckTimeout: 5 * time.Second, Origins: []string{"https://a.example", "null"}, Waits: []time.Duration{time.Second, 30 * 24 * time.Hour}}
	s.Gateway.Window, s.Gateway.Ratio, s.Gateway.Shards, s.Gateway.Memory, s.Gateway.Payload = 256, 0.1, 1024, 64<<20, 65536
	s.Gateway.Mailbox, s.Gateway.None = 64<<20, -1
	s.Labels = map[string]string{"zone": "a: \"b\"", "x y": "# no"}
	s.Limits = map[string]int{"low": -3}
	s.Peers = []peer{{"one", time.Minute}, {"", 0}}
	s.Zones = map[string]peer{"north": {"n", time.Hour}}
	return s
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ramen.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestWrittenDefaultsReadBackTheSame(t *testing.T) {
	want := defaults()
	var b bytes.Buffer
	if err := WriteYAML(&b, &want); err != nil {
		t.Fatal(err)
	}
	var got sample
	if err := Load(&got, file(t, b.String()), nil, nil); err != nil {
		t.Fatalf("%v in:\n%s", err, b.String())
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nwant %+v\nfrom:\n%s", got, want, b.String())
	}
	var any map[string]any // other readers of YAML see the same
	if err := yaml.Unmarshal(b.Bytes(), &any); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "  # How long a device may hold a full window.") {
		t.Fatalf("no comment in:\n%s", b.String())
	}
}

func TestEmptyConfigurationReadsBackTheSame(t *testing.T) {
	var want sample
	var b bytes.Buffer
	if err := WriteYAML(&b, &want); err != nil {
		t.Fatal(err)
	}
	var got sample
	if err := Load(&got, file(t, b.String()), nil, nil); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v\nfrom:\n%s", got, b.String())
	}
}

func TestSecretsAreNotWritten(t *testing.T) {
	s := defaults()
	s.Key = "hush"
	var b bytes.Buffer
	if err := errors.Join(WriteYAML(&b, &s), WriteMarkdown(&b, &s)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "hush") {
		t.Fatalf("the secret is in:\n%s", b.String())
	}
}

func TestFlagsWinOverVariablesOverFile(t *testing.T) {
	s := defaults()
	flags := pflag.NewFlagSet("ramen", pflag.ContinueOnError)
	if err := BindFlags(flags, &s); err != nil {
		t.Fatal(err)
	}
	other := flags.Bool("dev", false, "")
	err := flags.Parse([]string{
		"--gateway.window", "3", "--frontend.tls", "--frontend.origins=c", "--frontend.origins", "d,e", "--dev", "--frontend.ack-timeout=1d12h", "--labels", "a=1",
	})
	if err != nil {
		t.Fatal(err)
	}
	path := file(t, "gateway: {window: 1, ratio: 0.25, max_payload: 1KiB, memory: 10}\nfrontend:\n  origins: [a]\nlevel: debug\nkey: \"5\"\n")
	environ := []string{
		"RAMEN_GATEWAY_WINDOW=2", "RAMEN_GATEWAY_RATIO=0.5", "RAMEN_FRONTEND_ORIGINS=a, b", "RAMEN_GATEWAY_MEMORY=1.5GiB", "RAMEN_LABELS=x=1,y=",
		"RAMEN_LIMITS=", "RAMEN_LEVEL=WARN", "PATH=/bin", "RAMEN_CONFIG=x", "RAMEN_FRONTEND_WAITS=1s,2s",
		"RAMEN_SERVICE_HOST=10.0.0.1", "RAMEN_PORT=tcp://10.0.0.1:80", "RAMEN_FRONTEND_PORT_8080_TCP_ADDR=10.0.0.1", "RAMEN_SERVICE_PORT_HTTP=80",
	}
	if err := Load(&s, path, environ, flags); err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Gateway.Window, want.Gateway.Ratio, want.Gateway.Memory, want.Gateway.Payload = 3, 0.5, 3<<29, 1024
	want.Frontend = section{AckTimeout: 36 * time.Hour, Origins: []string{"c", "d", "e"}, TLS: true, Waits: []time.Duration{time.Second, 2 * time.Second}}
	want.Level, want.Key, want.Labels, want.Limits = slog.LevelWarn, "5", map[string]string{"a": "1"}, nil
	if !reflect.DeepEqual(s, want) || !*other {
		t.Fatalf("got %+v\nwant %+v", s, want)
	}
}

func TestErrorsNamePlaceAndRemedy(t *testing.T) {
	for _, c := range []struct{ name, yaml, env, want string }{
		{"unknown key", "listen: a\ngateway:\n  windw: 5\n", "", `ramen.yaml:3: gateway.windw: unknown key; the nearest is gateway.window`},
		{"key elsewhere", "window: 5\n", "", `ramen.yaml:1: window: unknown key; there is gateway.window`},
		{"key like none", "gateway: {zzzzzzz: 5}\n", "", `gateway.zzzzzzz: unknown key; there are window, ratio, shards, memory, max_payload, mailbox_bytes, none_bytes`},
		{"key twice", "listen: a\nlisten: b\n", "", `ramen.yaml:2: listen: it is set twice, first in line 1`},
		{"bad duration", "frontend:\n  ack_timeout: 4000\n", "", `ramen.yaml:2: frontend.ack_timeout: "4000": use a duration with a unit, such as 500ms, 4s, 30m or 30d`},
		{"bad integer", "gateway: {window: many}", "", `ramen.yaml:1: gateway.window: "many": use a whole number`},
		{"too large", "gateway: {shards: 65536}", "", `use a whole number from 0 to 65535`},
		{"bad bool", "frontend: {tls: yes}", "", `frontend.tls: "yes": use true or false`},
		{"bad float", "gateway: {ratio: .nan}", "", `use a number, such as 0.5`},
		{"bad size", "gateway: {memory: 5 apples}", "", `gateway.memory: "5 apples": use a size, such as 64KiB`},
		{"list for a value", "listen: [a]", "", `listen: it is a list; use a single value`},
		{"value for a list", "frontend: {origins: a}", "", `frontend.origins: it is one value; use a list, such as [a, b]`},
		{"value for a section", "frontend: 5", "", `frontend: it is one value; use a section`},
		{"list for the file", "- a", "", `the file: it is a list; use a section`},
		{"in a list", "peers:\n- {name: a}\n- {nam: b}\n", "", `ramen.yaml:3: peers[1].nam: unknown key; the nearest is peers[1].name`},
		{"in a map", "zones: {n: {wait: x}}\n", "", `zones.n.wait: "x": use a duration`},
		{"syntax", "listen: a\n b: c\n", "", `ramen.yaml:2: invalid YAML: `},
		{"two documents", "listen: a\n---\nlisten: b\n", "", `it has a second document`},
		{"unknown variable", "", "RAMEN_GATEWAY_WINDOWS=5", `RAMEN_GATEWAY_WINDOWS: unknown variable; the nearest is RAMEN_GATEWAY_WINDOW`},
		{"strange variable of a section", "", "RAMEN_GATEWAY_ZZZZZZZZZZ=5", `RAMEN_GATEWAY_WINDOW is gateway.window, for example`},
		{"bad variable", "", "RAMEN_GATEWAY_WINDOW=", `RAMEN_GATEWAY_WINDOW: "": use a whole number`},
		{"bad word", "", "RAMEN_FRONTEND_WAITS=1s,2", `RAMEN_FRONTEND_WAITS: "1s,2": "2": use a duration`},
		{"bad pair", "", "RAMEN_LABELS=a", `"a": use pairs, such as a=1,b=2`},
		{"file alone", "", "RAMEN_PEERS=a", `it can only be set in the file`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := defaults()
			err := Load(&s, file(t, c.yaml), []string{c.env}, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestAllErrorsAreToldAtOnce(t *testing.T) {
	var s sample
	err := Load(&s, file(t, "listn: a\ngateway: {window: x, rato: 1}\n"), []string{"RAMEN_LEVEL=loud"}, nil)
	for _, want := range []string{"listn", "gateway.window", "gateway.rato", "RAMEN_LEVEL"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Fatalf("%s is not in: %v", want, err)
		}
	}
}

func TestNothingGivenKeepsDefaults(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "frontend:\n", "listen:\ngateway:\n  window: ~\n", "---\n"} {
		s := defaults()
		if err := Load(&s, file(t, text), nil, nil); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if !reflect.DeepEqual(s, defaults()) {
			t.Fatalf("%q: got %+v", text, s)
		}
	}
}

func TestMissingFileIsNamed(t *testing.T) {
	var s sample
	if err := Load(&s, "/none/ramen.yaml", nil, nil); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/none/ramen.yaml") {
		t.Fatal(err)
	}
}

func TestAliasesAreFollowed(t *testing.T) {
	var s sample
	if err := Load(&s, file(t, "peers:\n- &one {name: a, wait: 1s}\n- *one\n"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if len(s.Peers) != 2 || s.Peers[0] != s.Peers[1] || s.Peers[1].Name != "a" {
		t.Fatalf("got %+v", s.Peers)
	}
}

type strict struct {
	Part picky `yaml:"part"`
}

type picky struct {
	N int `yaml:"n"`
}

var errOdd = errors.New("n is odd; it should be even")

func (p picky) Validate() error {
	if p.N%2 == 1 {
		return errOdd
	}
	return nil
}

type whole struct {
	Part picky `yaml:"part"`
}

var errWhole = errors.New("whole: no")

func (w *whole) Validate() error { return errWhole }

func TestSectionsAreValidatedUnlessTheWholeIs(t *testing.T) {
	err := Load(&strict{}, file(t, "part: {n: 3}"), nil, nil)
	if !errors.Is(err, errOdd) || !strings.Contains(err.Error(), "config: part: n is odd") {
		t.Fatal(err)
	}
	if err := Load(&whole{}, file(t, "part: {n: 3}"), nil, nil); !errors.Is(err, errWhole) || errors.Is(err, errOdd) {
		t.Fatal(err)
	}
}

func TestSecretsAreNotInErrors(t *testing.T) {
	var s struct {
		Pin int `yaml:"pin" secret:"true"`
	}
	err := Load(&s, file(t, "pin: hush\n"), []string{"RAMEN_PIN=hush"}, nil)
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Fatal(err)
	}
}

func TestUnusableStructsAreRefused(t *testing.T) {
	for name, dst := range map[string]any{
		"no pointer": sample{},
		"channel": &struct {
			C chan int `yaml:"c"`
		}{},
		"twice": &struct {
			A, B int `yaml:"a"`
		}{},
		"one variable": &struct {
			AB int `yaml:"a_b"`
			A  struct {
				B int `yaml:"b"`
			} `yaml:"a"`
		}{},
		"unexported": &struct {
			a int `yaml:"a"`
		}{},
	} {
		if err := Load(dst, "", nil, nil); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestBadFlagsAreRefusedWhereTheyAreGiven(t *testing.T) {
	s := defaults()
	flags := pflag.NewFlagSet("ramen", pflag.ContinueOnError)
	if err := BindFlags(flags, &s); err != nil {
		t.Fatal(err)
	}
	if err := flags.Parse([]string{"--gateway.window", "x"}); err == nil || !strings.Contains(err.Error(), "whole number") {
		t.Fatal(err)
	}
	err := FlagError(flags, flags.Parse([]string{"--gateway.windwo", "1"}))
	if err == nil || !strings.Contains(err.Error(), "the nearest is --gateway.window") {
		t.Fatal(err)
	}
	if f := flags.Lookup("frontend.ack-timeout"); f == nil || f.DefValue != "5s" || f.Value.Type() != "duration" {
		t.Fatalf("got %+v", f)
	}
	if flags.Lookup("peers") != nil {
		t.Fatal("there is a flag for a list of structs")
	}
}

func TestMarkdownListsEveryValue(t *testing.T) {
	s := defaults()
	var b bytes.Buffer
	if err := WriteMarkdown(&b, &s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| `frontend.ack_timeout` | `RAMEN_FRONTEND_ACK_TIMEOUT` | `5s` | How long",
		"| `gateway.window` | `RAMEN_GATEWAY_WINDOW` | `256` | Pushes \\| unacked. |",
		"| `gateway.memory` | `RAMEN_GATEWAY_MEMORY` | `64MiB` |  |",
		"| `gateway.mailbox_bytes` | `RAMEN_GATEWAY_MAILBOX_BYTES` | `64MiB` |  |",
		"| `peers` | (file only) |",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is not in:\n%s", want, b.String())
		}
	}
}

func FuzzYAML(f *testing.F) {
	for _, text := range []string{"listen: a", "peers: [&a {name: x}, *a]", "frontend: {origins: [a, 5, ~]}", "a: &a [*a]", "? {a: b}\n: c", "<<: {listen: b}", "\xff", "labels: {a: {b: c}}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := defaults()
		root, err := tree(&s)
		if err != nil {
			t.Fatal(err)
		}
		var p problems
		p.readYAML(root, "f", data)
		if p.err() != nil {
			return
		}
		var b bytes.Buffer
		if err := WriteYAML(&b, &s); err != nil {
			t.Fatal(err)
		}
	})
}
