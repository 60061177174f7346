// Package shim serves a function's handler on the listening socket that the platform made, and says on the status pipe how its start went.
//
// It is compiled into the function: the generated main calls Run and nothing else. It owns the process from main on (listener, signals, exit status); it
// protects nothing, since the author's code runs beside it. shims/README.md is the protocol. Only the standard library is used.
package shim

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

const (
	listenerDescriptor = 3
	// The platform sends SIGKILL 10 s after SIGTERM. What is left after the requests is the stop hook's.
	drainTime    = 9 * time.Second
	stopHookTime = 900 * time.Millisecond
)

// Handler is what the contract lets a Handle be.
type Handler interface {
	func(http.ResponseWriter, *http.Request) | func(context.Context, http.ResponseWriter, *http.Request)
}

// Function is an author's function, ready to be started.
type Function struct {
	value  any
	handle http.HandlerFunc
}

// Static makes a Function of a package's func Handle.
func Static[H Handler](handle H) Function { return Instance(nil, handle) }

// Instance makes a Function of what New returned, and of its method Handle.
func Instance[H Handler](value any, handle H) Function {
	switch h := any(handle).(type) {
	case func(context.Context, http.ResponseWriter, *http.Request):
		return Function{value, func(w http.ResponseWriter, r *http.Request) { h(r.Context(), w, r) }}
	case func(http.ResponseWriter, *http.Request):
		return Function{value, h}
	}
	panic("unreachable: Handler has two members")
}

// Run makes the function, starts it, serves until SIGTERM, and exits.
func Run(construct func() Function) {
	report := openStatus()
	listener, err := inherit(listenerDescriptor)
	if err != nil {
		report.fail("descriptor 3: " + err.Error())
	}
	report.phase("code")
	function := start(report, construct)
	s, err := newServer(listener, function.handle)
	if err != nil {
		report.fail(err.Error())
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	report.phase("ready")
	report.close()

	failed := make(chan error, 1)
	go func() { failed <- s.serve() }()
	select {
	case err = <-failed:
		fmt.Fprintln(os.Stderr, "the listening socket failed:", err)
		os.Exit(1)
	case <-signals:
	}
	s.stop(drainTime)
	stopHook(function.value)
	os.Exit(0)
}

// start constructs the function and runs its Start; an error or a panic in either is a start that failed.
func start(report *status, construct func() Function) (function Function) {
	defer func() {
		if problem := recover(); problem != nil {
			trace(problem)
			report.say(fmt.Sprintf("panic: %v", problem))
			os.Exit(1)
		}
	}()
	function = construct()
	ctx := context.Background()
	var err error
	switch s := function.value.(type) {
	case interface {
		Start(context.Context, map[string]string) error
	}:
		err = s.Start(ctx, environment())
	case interface {
		Start(context.Context, map[string]string)
	}:
		s.Start(ctx, environment())
	}
	if err != nil {
		report.fail("Start: " + err.Error())
	}
	return function
}

func environment() map[string]string {
	entries := os.Environ()
	cfg := make(map[string]string, len(entries))
	for _, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		cfg[name] = value
	}
	return cfg
}

func stopHook(value any) {
	defer func() {
		if problem := recover(); problem != nil {
			trace(problem)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), stopHookTime)
	defer cancel()
	switch s := value.(type) {
	case interface{ Stop(context.Context) error }:
		if err := s.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "Stop:", err)
		}
	case interface{ Stop(context.Context) }:
		s.Stop(ctx)
	}
}

// trace writes a panic to the log in one write, so that two of them do not mix. Called by the deferred function that recovered it.
func trace(problem any) {
	fmt.Fprintf(os.Stderr, "panic: %v\n\n%s", problem, debug.Stack())
}
