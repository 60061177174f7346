package shim

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"
)

const maxAcceptPause = time.Second

// server accepts on the platform's socket, and ends in order.
//
// It is not net/http's Server, whose parser of requests it uses: with full duplex that one loses the connection when a handler leaves a body
// unread, and without it a body is read to its end before the answer's head; it drains four times what the protocol says, and a handler is told of a
// disconnect only once the request's body was read.
type server struct {
	listener *net.UnixListener
	handler  http.HandlerFunc
	hangups  *hangups
	base     context.Context

	mu       sync.Mutex
	open     map[*conn]struct{} // those whose goroutine runs
	stopping bool
	changed  chan struct{} // has room for one; told when open shrinks
}

// inherit takes over a listening unix socket that was there before the process began.
func inherit(descriptor uintptr) (*net.UnixListener, error) {
	file := os.NewFile(descriptor, "listener")
	if file == nil {
		return nil, errors.New("there is none")
	}
	defer file.Close() // FileListener has a duplicate
	listener, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	unix, ok := listener.(*net.UnixListener)
	if !ok {
		return nil, errors.New("not a unix socket")
	}
	return unix, nil
}

func newServer(listener *net.UnixListener, handler http.HandlerFunc) (*server, error) {
	hangups, err := newHangups()
	if err != nil {
		return nil, err
	}
	// net/http's proxy, for one, looks whether it runs in a server before it aborts an answer.
	base := context.WithValue(context.Background(), http.ServerContextKey, &http.Server{})
	base = context.WithValue(base, http.LocalAddrContextKey, listener.Addr())
	return &server{listener: listener, handler: handler, hangups: hangups, base: base, open: map[*conn]struct{}{}, changed: make(chan struct{}, 1)}, nil
}

// serve accepts until stop; an error is of the socket.
func (s *server) serve() error {
	pause := time.Millisecond
	for {
		socket, err := s.listener.AcceptUnix()
		switch {
		case err == nil:
			pause = time.Millisecond
			s.take(socket)
		case errors.Is(err, net.ErrClosed):
			return nil
		case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ECONNABORTED):
			// What the author has opened too much of may be closed again.
			time.Sleep(pause)
			pause = min(2*pause, maxAcceptPause)
		default:
			return err
		}
	}
}

func (s *server) take(socket *net.UnixConn) {
	c := newConn(socket, s)
	s.mu.Lock()
	stopping := s.stopping
	if !stopping {
		s.open[c] = struct{}{}
	}
	s.mu.Unlock()
	if stopping || s.hangups.watch(c) != nil {
		s.forget(c)
		_ = socket.Close()
		return
	}
	go c.serve()
}

func (s *server) forget(c *conn) {
	s.hangups.forget(c)
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default: // it was told and has not looked yet
	}
}

// stop ends the idle connections at once and waits for the others, at most for patience.
func (s *server) stop(patience time.Duration) {
	_ = s.listener.Close()
	s.mu.Lock()
	s.stopping = true
	for c := range s.open {
		c.closeIfIdle()
	}
	s.mu.Unlock()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for s.count() > 0 {
		select {
		case <-s.changed:
		case <-deadline.C:
			return
		}
	}
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}
