// Command ramen is the whole product in one binary: the gateway, and clients to try it, watch it and feed it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"ramen/internal/tool/config"
)

// version is set by the linker.
var version = "dev"

// Exit statuses.
const (
	statusFailed      = 1
	statusInterrupted = 130 // as shells say it of SIGINT
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// execute runs one command and answers the exit status.
func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	c := root()
	c.SetArgs(args)
	c.SetIn(in)
	o := &output{w: out}
	c.SetOut(o)
	c.SetErr(errOut)
	err := c.ExecuteContext(ctx)
	if err == nil {
		err = o.failed()
	}
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(errOut, "ramen: interrupted")
		return statusInterrupted
	}
	fmt.Fprintln(errOut, "ramen:", strings.TrimPrefix(err.Error(), "ramen: ")) // the client's package has that name, too
	return statusFailed
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "ramen",
		Short:         "A real-time push gateway: devices hold streams, backends publish to users.",
		Long:          "A real-time push gateway: devices hold streams, backends publish to users.\n\nTo see it work: ramen serve --dev, and in other terminals ramen listen --user alice and ramen publish --user alice '{\"hello\":1}'.",
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	c.SetVersionTemplate(versionText())
	c.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w\nSee: %s --help", config.FlagError(c.Flags(), err), c.CommandPath())
	})
	c.AddCommand(serveCommand(), publishCommand(), listenCommand(), loadCommand(), tokenCommand(), configCommand(), storeCommand(), clusterCommand(), healthCommand(), conformanceCommand(), versionCommand())
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version.",
		Args:  cobra.NoArgs,
		Run:   func(c *cobra.Command, _ []string) { fmt.Fprint(c.OutOrStdout(), versionText()) },
	}
}

func versionText() string {
	return fmt.Sprintf("ramen %s (%s, %s/%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// fromEnv is a flag's default: the variable where it is set.
func fromEnv(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// completeWords lets the shell complete a flag of few values.
func completeWords(c *cobra.Command, flag string, words ...string) {
	if err := c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // a flag that there is not
	}
}
