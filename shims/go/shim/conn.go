package shim

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// The platform's own limit is 64 KB; this one only bounds what a head may cost.
	maxHeadBytes = 256 << 10
	readerBytes  = 8 << 10
)

var (
	errHeadTooLong = errors.New("the request's head is too long")
	// longAgo as a deadline ends reads and writes that wait, and those to come.
	longAgo = time.Unix(1, 0)
)

// conn is one connection of the platform: one request after the other, each handled to its end. Its goroutine alone reads and writes, but for
// what the fields under mu and writer's own lock let others do.
type conn struct {
	socket *net.UnixConn
	server *server
	reader *bufio.Reader
	// headLeft bounds a head that is being read; -1 while a body is.
	headLeft int
	ended    bool // the platform's end was read
	// out and pending are kept from one answer to the next.
	out, pending []byte
	serial       int32

	mu       sync.Mutex
	busy     bool // from the first byte of a request to the end of its answer
	closing  bool
	hijacked bool
	gone     bool // the platform has half-closed it
	cancel   context.CancelFunc
}

func newConn(socket *net.UnixConn, s *server) *conn {
	c := &conn{socket: socket, server: s}
	c.reader = bufio.NewReaderSize(headLimit{c}, readerBytes)
	return c
}

// headLimit is the socket as the reader sees it.
type headLimit struct{ c *conn }

func (l headLimit) Read(into []byte) (int, error) {
	c := l.c
	if c.headLeft == 0 {
		return 0, errHeadTooLong
	}
	if c.headLeft > 0 {
		into = into[:min(len(into), c.headLeft)]
	}
	n, err := c.socket.Read(into)
	if c.headLeft > 0 {
		c.headLeft -= n
	}
	c.ended = c.ended || errors.Is(err, io.EOF)
	return n, err
}

// serve runs until either side has closed, or the author has taken the connection over.
func (c *conn) serve() {
	defer c.server.forget(c)
	defer c.close()
	for c.awaitRequest() {
		r, err := http.ReadRequest(c.reader)
		if err != nil {
			c.refuse()
			return
		}
		c.headLeft = -1
		if !c.handle(r) || !c.becomeIdle() {
			return
		}
	}
}

// close leaves a connection alone that is the author's.
func (c *conn) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.hijacked {
		_ = c.socket.Close()
	}
}

// awaitRequest waits for the first byte of a request. What had arrived when the stop came is a request like any other, read or still in the kernel.
func (c *conn) awaitRequest() bool {
	c.headLeft = maxHeadBytes
	_, err := c.reader.Peek(1)
	if err != nil && !(errors.Is(err, os.ErrDeadlineExceeded) && c.hasArrived()) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = true
	if c.closing {
		_ = c.socket.SetReadDeadline(time.Time{}) // closeIfIdle's
	}
	return true
}

// hasArrived says whether bytes wait in the kernel.
func (c *conn) hasArrived() bool {
	raw, err := c.socket.SyscallConn()
	if err != nil {
		return false
	}
	arrived := false
	var first [1]byte
	_ = raw.Control(func(fd uintptr) {
		n, _, err := syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		arrived = err == nil && n > 0
	})
	return arrived
}

func (c *conn) becomeIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	return !c.closing || c.reader.Buffered() > 0 || c.hasArrived()
}

// closeIfIdle is the stop's: a connection without a request ends at once, another one after its answer. Which of the two it is, its own goroutine
// knows; a deadline wakes it.
func (c *conn) closeIfIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	switch {
	case c.hijacked:
		// An upgraded connection has no end of its own: its handler learns that there is no more to read.
		_ = c.socket.CloseRead()
		c.cancelRequest()
	case !c.busy:
		_ = c.socket.SetReadDeadline(longAgo)
	}
}

func (c *conn) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || c.gone
}

// hungUp tells the handler that the caller went away, and throws away what it still writes. serve closes when the handler has returned.
func (c *conn) hungUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.hijacked {
		return // the author reads it
	}
	c.gone = true
	_ = c.socket.SetWriteDeadline(longAgo)
	c.cancelRequest()
}

func (c *conn) cancelRequest() {
	if c.cancel != nil {
		c.cancel()
	}
}

// begin gives a request its context, which hungUp cancels.
func (c *conn) begin() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(c.server.base)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel = cancel
	if c.gone {
		cancel()
	}
	return ctx, cancel
}

// handle calls the author's handler; false means that the connection ends with this answer.
func (c *conn) handle(parsed *http.Request) bool {
	ctx, cancel := c.begin()
	defer cancel()
	r := parsed.WithContext(ctx)
	r.RemoteAddr = caller(r.Header)
	var body *requestBody
	if r.Body != http.NoBody {
		body = newRequestBody(parsed, r, c.socket)
		r.Body = body
	}
	w := newWriter(c, r, body)
	whole := c.call(w, r)
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll()
	}
	if !whole {
		return false
	}
	if w.deadlines {
		_ = c.socket.SetDeadline(time.Time{})
	}
	return body == nil || body.drain()
}

// call is the handler and the end of its answer, whatever it did.
func (c *conn) call(w *writer, r *http.Request) (whole bool) {
	defer func() {
		if problem := recover(); problem != nil {
			whole = w.failed(problem)
		}
	}()
	c.server.handler(w, r)
	return w.end()
}

// refuse answers bytes that are no request. The platform sends none, but it may go away in the middle of one.
func (c *conn) refuse() {
	if !c.ended {
		_, _ = io.WriteString(c.socket, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	}
}

// hijack gives the socket to the author.
func (c *conn) hijack() (net.Conn, *bufio.ReadWriter) {
	c.server.hangups.forget(c)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hijacked = true
	_ = c.socket.SetDeadline(time.Time{})
	if c.closing {
		_ = c.socket.CloseRead()
	}
	return c.socket, bufio.NewReadWriter(c.reader, bufio.NewWriter(c.socket))
}

// caller is the address that made the request: the last one, since the platform wrote it. There is no port to tell.
func caller(header http.Header) string {
	all := header["X-Forwarded-For"]
	if len(all) == 0 {
		return ""
	}
	last := all[len(all)-1]
	return net.JoinHostPort(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]), "0")
}
