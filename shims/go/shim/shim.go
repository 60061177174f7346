// Package shim serves a function's handler on the listening socket that the platform made (descriptor 3), and says on the status pipe (descriptor 4)
// how its start went. It is compiled into the function; shims/README.md is the protocol.
package shim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
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
	statusDescriptor   = 4
	stopTime           = 10 * time.Second
	maxMessageBytes    = 2048
)

type (
	plainHandler interface {
		Handle(http.ResponseWriter, *http.Request)
	}
	contextHandler interface {
		Handle(context.Context, http.ResponseWriter, *http.Request)
	}
	starter interface {
		Start(context.Context, map[string]string) error
	}
	stopper interface{ Stop(context.Context) error }
)

// status is the pipe of shims/README.md: one JSON line a phase.
type status struct{ pipe *os.File }

func (s status) say(fields map[string]string) {
	line, _ := json.Marshal(fields)
	_, _ = s.pipe.Write(append(line, '\n'))
}

func (s status) fail(message string) {
	message = strings.SplitN(message, "\n", 2)[0]
	if len(message) > maxMessageBytes {
		message = message[:maxMessageBytes]
	}
	s.say(map[string]string{"error": "start_failed", "message": message})
	os.Exit(1)
}

// Run makes the function, starts it, and serves until SIGTERM.
func Run(construct func() any) {
	syscall.CloseOnExec(listenerDescriptor)
	syscall.CloseOnExec(statusDescriptor)
	report := status{os.NewFile(statusDescriptor, "status")}
	report.say(map[string]string{"phase": "runtime"})
	for _, name := range []string{"SKERRY_SHIM", "SKERRY_ENTRY", "SKERRY_SHAPE"} {
		_ = os.Unsetenv(name)
	}
	file := os.NewFile(listenerDescriptor, "listener")
	listener, err := net.FileListener(file)
	if err != nil {
		report.fail("descriptor 3 is not a listening socket: " + err.Error())
	}
	_ = file.Close()

	function, handler := prepare(report, construct)
	server := &http.Server{Handler: guard(handler)}
	server.SetKeepAlivesEnabled(true)
	report.say(map[string]string{"phase": "ready"})
	_ = report.pipe.Close()

	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		<-signals
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		defer cancel()
		_ = server.Shutdown(ctx)
		if s, ok := function.(stopper); ok {
			if err := s.Stop(ctx); err != nil {
				fmt.Fprintln(os.Stderr, "Stop:", err)
			}
		}
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, "serve:", err)
		os.Exit(1)
	}
	<-stopped
}

// prepare makes the function and runs its Start; a panic in either is a start that failed.
func prepare(report status, construct func() any) (any, http.HandlerFunc) {
	defer func() {
		if problem := recover(); problem != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", problem, debug.Stack())
			report.fail(fmt.Sprintf("panic: %v", problem))
		}
	}()
	function := construct()
	report.say(map[string]string{"phase": "code"})
	var handler http.HandlerFunc
	switch f := function.(type) {
	case func(http.ResponseWriter, *http.Request):
		handler = f
	case func(context.Context, http.ResponseWriter, *http.Request):
		handler = func(w http.ResponseWriter, r *http.Request) { f(r.Context(), w, r) }
	case plainHandler:
		handler = f.Handle
	case contextHandler:
		handler = func(w http.ResponseWriter, r *http.Request) { f.Handle(r.Context(), w, r) }
	default:
		report.fail(fmt.Sprintf("%T is no handler: Handle must take (http.ResponseWriter, *http.Request) or (context.Context, http.ResponseWriter, *http.Request)", function))
	}
	if s, ok := function.(starter); ok {
		environment := map[string]string{}
		for _, entry := range os.Environ() {
			name, value, _ := strings.Cut(entry, "=")
			environment[name] = value
		}
		if err := s.Start(context.Background(), environment); err != nil {
			report.fail("Start: " + err.Error())
		}
	}
	return function, handler
}

// writer sends each piece at once where the length is not known, and knows whether the head has gone out.
type writer struct {
	http.ResponseWriter
	begun bool
}

func (w *writer) WriteHeader(code int) {
	// 1xx answers come before the head.
	if code >= 200 {
		w.begun = true
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *writer) Write(piece []byte) (int, error) {
	w.begun = true
	n, err := w.ResponseWriter.Write(piece)
	if err == nil && w.Header().Get("Content-Length") == "" {
		w.Flush()
	}
	return n, err
}

func (w *writer) Flush() {
	w.begun = true
	if f, ok := w.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}

func (w *writer) Hijack() (net.Conn, *bufioReadWriter, error) {
	w.begun = true
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// guard turns a panic into the platform's 500 where nothing was sent, and into an answer cut short where something was. The process lives.
func guard(handler http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
		w := &writer{ResponseWriter: plain}
		defer func() {
			problem := recover()
			if problem == nil {
				return
			}
			if problem != http.ErrAbortHandler { //nolint:errorlint // the very value is the agreement
				fmt.Fprintf(os.Stderr, "panic: %v\n%s", problem, debug.Stack())
			}
			if w.begun || problem == http.ErrAbortHandler {
				panic(http.ErrAbortHandler)
			}
			body, _ := json.Marshal(map[string]any{"error": map[string]string{
				"code": "function_error", "message": "the function failed; see its log", "request_id": r.Header.Get("X-Request-Id")}})
			for name := range plain.Header() {
				plain.Header().Del(name)
			}
			plain.Header().Set("Content-Type", "application/json")
			plain.Header().Set("X-Skerry-Error", "function_error")
			plain.WriteHeader(http.StatusInternalServerError)
			_, _ = plain.Write(body)
		}()
		// The public scheme and host, as an author expects them.
		if r.Header.Get("X-Forwarded-Proto") == "https" {
			r.URL.Scheme = "https"
		}
		handler(w, r)
	})
}
