package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"github.com/alecthomas/kong"

	"granary/core/api/admin"
	"granary/prod/config"
)

// Exit codes.
const (
	ExitFailed = 1
	ExitUsage  = 2
)

// World is what a command sees of the process around it.
type World struct {
	Args []string // without the program's name
	// Program is how the user called the program, for commands to paste. Empty, or without a slash: granary.
	Program string
	Env     []string // as os.Environ returns it
	In      io.Reader
	Out     io.Writer
	Err     io.Writer
}

// app is one run of the program.
type app struct {
	World
	globals
	ctx context.Context
}

// usageError is a fault of the command line or the configuration.
type usageError struct{ error }

// Unwrap returns the fault.
func (u usageError) Unwrap() error { return u.error }

// exited is what kong's --help ends with instead of ending the process.
type exited int

// Main runs one command and returns the exit code. It ends early when ctx does.
func Main(ctx context.Context, w World) (code int) {
	defer func() {
		if v := recover(); v != nil {
			e, ok := v.(exited)
			if !ok {
				panic(v)
			}
			code = int(e)
		}
	}()
	var g grammar
	parser, err := kong.New(&g, kong.Name("granary"),
		kong.Description("A geo-distributed S3 store. Try it: granary server --dev"),
		kong.Writers(w.Out, w.Err), kong.Exit(func(code int) { panic(exited(code)) }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic(err)
	}
	command, err := parser.Parse(w.Args)
	if err != nil {
		fmt.Fprintf(w.Err, "granary: %v\nSee granary --help.\n", err)
		return ExitUsage
	}
	a := &app{World: w, globals: g.globals, ctx: ctx}
	if err = command.Run(a); err == nil {
		return 0
	}
	a.complain(err)
	var usage usageError
	if errors.As(err, &usage) {
		return ExitUsage
	}
	return ExitFailed
}

// complain says on standard error why a command failed.
func (a *app) complain(err error) {
	if !a.JSON {
		fmt.Fprintf(a.Err, "granary: %v\n", err)
		return
	}
	var refused *admin.Error
	if !errors.As(err, &refused) {
		refused = &admin.Error{Code: "failed", Message: err.Error()}
	}
	json.NewEncoder(a.Err).Encode(refused)
}

// getenv returns a variable.
func (a *app) getenv(name string) string {
	value := ""
	for _, pair := range a.Env {
		if v, ok := strings.CutPrefix(pair, name+"="); ok {
			value = v
		}
	}
	return value
}

// folder is the data folder that the command line or the environment names, or the usual one.
func (a *app) folder() string {
	if a.Data != "" {
		return a.Data
	}
	if v := a.getenv("GRANARY_DATA_FOLDER"); v != "" {
		return v
	}
	return config.DefaultFolder
}

// file is the configuration file: the one named, or the one in the data folder if there is one.
func (a *app) file() string {
	if a.Config != "" {
		return a.Config
	}
	if v := a.getenv("GRANARY_CONFIG"); v != "" {
		return v
	}
	path := filepath.Join(a.folder(), config.FileName)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// load reads the configuration; base lies below it, flags above.
func (a *app) load(s settings) (*config.Loaded, error) {
	flags, err := s.flags()
	if err != nil {
		return nil, usageError{err}
	}
	file := a.file()
	if a.Data != "" || file == filepath.Join(a.folder(), config.FileName) {
		flags = append(flags, config.Setting{Key: "data.folder", Value: a.folder(), Flag: "--data"})
	}
	loaded, err := config.Load(config.Sources{File: file, Env: a.Env, Flags: flags})
	if err != nil {
		return nil, usageError{err}
	}
	return loaded, nil
}

func parseSets(sets []string) (list []config.Setting, err error) {
	for _, s := range sets {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, fmt.Errorf("--set %s: want section.key=value", key)
		}
		list = append(list, config.Setting{Key: key, Value: value})
	}
	return list, nil
}

// program is how a command to paste calls the program.
func (a *app) program() string {
	if !strings.Contains(a.Program, "/") {
		return "granary"
	}
	return shellWord(a.Program)
}

// printf writes for people.
func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.Out, format, args...) }

// print writes v as JSON if that was asked for, and by human otherwise.
func (a *app) print(v any, human func()) error {
	if !a.JSON {
		human()
		return nil
	}
	e := json.NewEncoder(a.Out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// Version is the version of the program, as the build knows it.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+changes"
		}
	}
	switch {
	case info.Main.Version != "" && info.Main.Version != "(devel)":
		return info.Main.Version
	case revision != "":
		return "devel-" + revision + dirty
	}
	return "devel"
}

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(a *app) error {
	return a.print(map[string]string{"version": Version()}, func() { a.printf("granary %s\n", Version()) })
}
