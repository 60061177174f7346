package shim

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
)

// drainBytes is how much of a body that the handler did not read is read after the answer, so that the connection may live.
const drainBytes = 64 << 10

// requestBody is a request's body as the handler sees it. net/http's own, below, would read all of what is left when it is closed.
type requestBody struct {
	parsed, given *http.Request // net/http puts trailers into the first, the handler has the second
	socket        *net.UnixConn

	mu      sync.Mutex // held while a read waits too
	read    int64
	problem error // io.EOF at its end
	closed  bool
}

func newRequestBody(parsed, given *http.Request, socket *net.UnixConn) *requestBody {
	return &requestBody{parsed: parsed, given: given, socket: socket}
}

func (b *requestBody) Read(into []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.next(into)
}

func (b *requestBody) next(into []byte) (int, error) {
	if b.problem != nil {
		return 0, b.problem
	}
	n, err := b.parsed.Body.Read(into)
	b.read += int64(n)
	if err != nil {
		b.problem = err
		b.given.Trailer = b.parsed.Trailer
	}
	return n, err
}

// Close is the author's: there is nothing more to read for the handler. What is left is drain's.
func (b *requestBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// tooLong is true where the rest is certainly more than is drained.
func (b *requestBody) tooLong() bool {
	if !b.mu.TryLock() {
		return true // a goroutine that the handler left behind still waits for bytes: the connection cannot live
	}
	defer b.mu.Unlock()
	return b.problem == nil && b.parsed.ContentLength-b.read > drainBytes
}

// drain is called after the answer. False means that the body was not seen to its end: the connection must close.
func (b *requestBody) drain() bool {
	if !b.mu.TryLock() {
		_ = b.socket.SetReadDeadline(longAgo) // as above: its read fails, and so does the body
		b.mu.Lock()
	}
	defer b.mu.Unlock()
	b.closed = true
	if b.problem == nil && b.parsed.ContentLength-b.read <= drainBytes {
		_, _ = io.CopyN(io.Discard, readerFunc(b.next), drainBytes+1)
	}
	// SECURITY: the rest of a body is never taken for the next request.
	return errors.Is(b.problem, io.EOF)
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(into []byte) (int, error) { return f(into) }
