package config

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// place is a name with a password in it, which its text leaves out.
type place struct{ name, password string }

func (p place) MarshalText() ([]byte, error) { return []byte(p.name), nil }

func (p *place) UnmarshalText(text []byte) error {
	name, password, ok := strings.Cut(string(text), ":")
	if !ok {
		return errors.New("use name:password")
	}
	*p = place{name, password}
	return nil
}

type withPlace struct {
	Store struct {
		At  place `yaml:"at" secret:"part" flag:"store" doc:"Where."`
		Pin int   `yaml:"pin" secret:"true" doc:"How."`
	} `yaml:"store"`
}

// TestAPartlySecretValueIsWrittenWithoutItsSecret, and is not repeated where it is wrong, whichever way it came.
func TestAPartlySecretValueIsWrittenWithoutItsSecret(t *testing.T) {
	for _, key := range []string{"store.at", "store"} {
		var s withPlace
		flags := pflag.NewFlagSet("ramen", pflag.ContinueOnError)
		if err := BindFlags(flags, &s); err != nil {
			t.Fatal(err)
		}
		if err := flags.Parse([]string{"--" + key, "here:hush"}); err != nil {
			t.Fatal(err)
		}
		if err := Load(&s, "", nil, flags); err != nil || s.Store.At != (place{"here", "hush"}) {
			t.Fatalf("--%s: %+v, %v", key, s, err)
		}
		var out bytes.Buffer
		if err := errors.Join(WriteYAML(&out, &s), WriteMarkdown(&out, &s)); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "hush") || !strings.Contains(out.String(), "at: here\n") || !strings.Contains(out.String(), "`here`") {
			t.Errorf("written as\n%s", &out)
		}
	}
	for name, arg := range map[string]string{"--store": "hush", "--store.at": "hush", "--store.pin": "hush"} {
		var s withPlace
		flags := pflag.NewFlagSet("ramen", pflag.ContinueOnError)
		if err := BindFlags(flags, &s); err != nil {
			t.Fatal(err)
		}
		err := flags.Parse([]string{name, arg})
		if err == nil {
			err = Load(&s, "", nil, flags)
		}
		if err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "--store") {
			t.Errorf("%s: %v", name, err)
		}
	}
	var s withPlace
	err := Load(&s, file(t, "store: {at: hush, pin: hush}\n"), []string{"RAMEN_STORE_AT=hush"}, nil)
	if err == nil || strings.Contains(err.Error(), "hush") || strings.Count(err.Error(), "use name:password") != 2 {
		t.Error(err)
	}
}
