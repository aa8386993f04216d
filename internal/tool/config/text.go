package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

var durationType = reflect.TypeFor[time.Duration]()

// setText reads text into v, a scalar. The error says what would be right, and does not repeat the text.
func setText(v reflect.Value, text string, sized bool) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if v.Type() == durationType {
		d, err := parseDuration(text)
		v.SetInt(int64(d))
		return err
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			return errors.New("use true or false")
		}
		v.SetBool(text == "true")
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, v.Type().Bits())
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return errors.New("use a number, such as 0.5")
		}
		v.SetFloat(f)
	default:
		return setInteger(v, text, sized)
	}
	return nil
}

func setInteger(v reflect.Value, text string, sized bool) error {
	bits := v.Type().Bits()
	if _, err := strconv.ParseInt(text, 10, 64); sized && err != nil {
		b, err := ParseBytes(text)
		if err != nil {
			return err
		}
		text = strconv.FormatInt(int64(b), 10)
	}
	if v.CanInt() {
		i, err := strconv.ParseInt(text, 10, bits)
		if err != nil {
			return fmt.Errorf("use a whole number from %d to %d", int64(-1)<<(bits-1), int64(1)<<(bits-1)-1)
		}
		v.SetInt(i)
		return nil
	}
	u, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		return fmt.Errorf("use a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-bits))
	}
	v.SetUint(u)
	return nil
}

// formatText is the text that setText reads as v.
func formatText(v reflect.Value, sized bool) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if b, err := m.MarshalText(); err == nil {
			return string(b)
		}
	}
	switch {
	case v.Type() == durationType:
		return formatDuration(time.Duration(v.Int()))
	case sized && v.CanInt():
		return Bytes(v.Int()).String()
	case sized && v.CanUint():
		return Bytes(v.Uint()).String()
	}
	switch v.Kind() {
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits())
	case reflect.String:
		return v.String()
	}
	return fmt.Sprint(v.Interface())
}

// setLine reads one line of text, of the environment or a flag, into the value of n.
func (n *node) setLine(line string) error {
	t := n.value.Type()
	switch {
	case isScalar(t):
		return setText(n.value, line, n.sized)
	case t.Kind() == reflect.Slice && isScalar(t.Elem()):
		list := reflect.Zero(t)
		for _, word := range words(line) {
			e := reflect.New(t.Elem()).Elem()
			if err := setText(e, word, n.sized); err != nil {
				return fmt.Errorf("%s: %w", n.quote(word), err)
			}
			list = reflect.Append(list, e)
		}
		n.value.Set(list)
		return nil
	case t.Kind() == reflect.Map && isScalar(t.Elem()):
		return n.setPairs(line)
	}
	return errors.New("it can only be set in the file")
}

// setPairs reads a=1,b=2.
func (n *node) setPairs(line string) error {
	t := n.value.Type()
	m := reflect.MakeMap(t)
	for _, word := range words(line) {
		key, value, ok := strings.Cut(word, "=")
		if !ok || key == "" {
			return fmt.Errorf("%s: use pairs, such as a=1,b=2", n.quote(word))
		}
		e := reflect.New(t.Elem()).Elem()
		if err := setText(e, value, n.sized); err != nil {
			return fmt.Errorf("%s: %w", n.quote(word), err)
		}
		m.SetMapIndex(reflect.ValueOf(key).Convert(t.Key()), e)
	}
	n.value.Set(emptyIsNil(m))
	return nil
}

// line is the text that setLine reads as the value of n.
func (n *node) line() string {
	v := n.value
	var parts []string
	switch {
	case isScalar(v.Type()):
		return formatText(v, n.sized)
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			parts = append(parts, formatText(v.Index(i), n.sized))
		}
	case v.Kind() == reflect.Map:
		for _, k := range sortedKeys(v) {
			parts = append(parts, k.String()+"="+formatText(v.MapIndex(k), n.sized))
		}
	}
	return strings.Join(parts, ",")
}

// words cuts a line at its commas.
func words(line string) []string {
	if strings.TrimSpace(line) == "" {
		return nil
	}
	all := strings.Split(line, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// quote is text as a message shows it: not at all where it is a secret, or has one.
func (n *node) quote(text string) string {
	if n.secret || n.partly {
		return "the value"
	}
	return fmt.Sprintf("%.80q", text)
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}

// emptyIsNil makes an empty list or map nil, so that each has one form.
func emptyIsNil(v reflect.Value) reflect.Value {
	if v.Len() == 0 {
		return reflect.Zero(v.Type())
	}
	return v
}
