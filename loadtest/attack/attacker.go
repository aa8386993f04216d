package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"ramen/loadtest/machine"
)

// order is what an attacker gets on its standard input.
type order struct {
	Attack string
	Target *target
	For    time.Duration
}

// attackerEnd is how long after its time an attacker may take to end.
const attackerEnd = 60 * time.Second

// runAttacker starts this program again as an attacker, and answers what it did, and the CPU time that it took.
func runAttacker(ctx context.Context, c config, a attack, t *target) (did string, used time.Duration, err error) {
	in, err := json.Marshal(order{a.name, t, c.For})
	if err != nil {
		return "", 0, fmt.Errorf("attack: write the order: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.For+attackerEnd)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Self[0], c.Self[1:]...)
	cmd.Env = append(os.Environ(), attackerVariable+"=1")
	cmd.Stdin = strings.NewReader(string(in))
	cmd.SysProcAttr = machine.OwnGroup()
	cmd.WaitDelay = time.Second
	var said, failed strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &failed
	if err = cmd.Run(); err != nil {
		err = fmt.Errorf("attack: %s: %w: %.2000s", a.name, err, failed.String())
	}
	if cmd.ProcessState != nil {
		used = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	}
	return said.String(), used, err
}

// attackerVariable makes a process of this program an attacker.
const attackerVariable = "RAMEN_ATTACKER"

// beAttacker does what in says, and tells out what it has done.
func beAttacker(in io.Reader, out io.Writer) error {
	var o order
	if err := json.NewDecoder(in).Decode(&o); err != nil {
		return fmt.Errorf("attack: read the order: %w", err)
	}
	a, ok := find(o.Attack)
	if !ok {
		return fmt.Errorf("attack: %q is none", o.Attack)
	}
	machine.Descriptors()
	yield()
	ctx, cancel := context.WithTimeout(context.Background(), o.For)
	defer cancel()
	a.flood(ctx, o.Target)
	_, err := io.WriteString(out, o.Target.did())
	return err
}
