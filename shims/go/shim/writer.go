package shim

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const (
	// Up to this much is copied and sent as one piece; more goes out from the author's own memory.
	pendingBytes = 32 << 10
	sniffBytes   = 512
)

var errReturned = errors.New("the handler has returned: its answer is over")

// writer is the http.ResponseWriter that an author's handler gets; it behaves as net/http's where that is not against the protocol.
//
// What is written is sent at once, without a Flush: a goroutine made by the first write does it. Where the handler goes on to wait for something, that
// goroutine runs at once; where the handler returns it finds nothing to do, so that an ordinary answer is one system call and has a Content-Length.
//
// The head is held back until there is something to send behind it, so that a panic after WriteHeader is still a 500.
type writer struct {
	c       *conn
	request *http.Request
	body    *requestBody // nil without one
	header  http.Header
	head    answerHead

	mu        sync.Mutex
	written   int64 // by the author
	sent      bool  // the head is
	chunked   bool
	unsent    bool // a flush is on its way
	over      bool // the handler has returned
	hijacked  bool
	deadlines bool // the author has set some
	broken    error
}

func newWriter(c *conn, r *http.Request, body *requestBody) *writer {
	c.pending = c.pending[:0]
	return &writer{c: c, request: r, body: body, header: http.Header{}}
}

func (w *writer) Header() http.Header { return w.header }

func (w *writer) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case status < 100 || status > 999:
		panic("invalid WriteHeader code " + strconv.Itoa(status)) // as net/http does
	case w.over || w.hijacked:
	case w.head.status != 0:
		_, file, line, _ := runtime.Caller(1)
		fmt.Fprintf(os.Stderr, "superfluous WriteHeader(%d) from %s:%d: the status is %d already\n", status, file, line, w.head.status)
	case status == http.StatusContinue: // the platform's to say
	case status < 200 && status != http.StatusSwitchingProtocols:
		var informational answerHead
		informational.statusLine(status)
		_ = w.header.WriteSubset(&informational.text, framing)
		w.put(append(informational.text.Bytes(), "\r\n"...))
	default:
		w.head.set(status, w.header)
	}
}

func (w *writer) Write(piece []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.take(piece); err != nil {
		return 0, err
	}
	return len(piece), nil
}

func (w *writer) usable() error {
	switch {
	case w.hijacked:
		return http.ErrHijacked
	case w.over:
		return errReturned
	}
	return w.broken
}

func (w *writer) isHead() bool { return w.request.Method == http.MethodHead }

func (w *writer) take(piece []byte) error {
	if err := w.usable(); err != nil {
		return err
	}
	if w.head.status == 0 {
		w.head.set(http.StatusOK, w.header)
	}
	switch {
	case len(piece) == 0:
		return nil
	case !bodyAllowed(w.head.status):
		return http.ErrBodyNotAllowed
	case w.head.length >= 0 && w.written+int64(len(piece)) > w.head.length:
		return http.ErrContentLength
	}
	w.written += int64(len(piece))
	if w.isHead() {
		w.c.pending = append(w.c.pending, piece[:min(len(piece), sniffBytes-min(sniffBytes, len(w.c.pending)))]...)
		return nil
	}
	if len(w.c.pending)+len(piece) > pendingBytes {
		return w.send(piece)
	}
	w.c.pending = append(w.c.pending, piece...)
	if !w.unsent {
		w.unsent = true
		go w.flushUnsent()
	}
	return nil
}

func (w *writer) flushUnsent() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.unsent && w.usable() == nil {
		_ = w.send(nil)
	}
}

// sendHead puts the head into out. total is the length of the whole answer where that is known (-1 else).
func (w *writer) sendHead(out, first []byte, total int64) []byte {
	if w.sent {
		return out
	}
	w.sent = true
	if w.head.status == 0 {
		w.head.set(http.StatusOK, w.header)
	}
	length := w.head.length
	if length < 0 && total >= 0 && bodyAllowed(w.head.status) && (total > 0 || !w.isHead()) {
		length = total
	}
	w.chunked = length < 0 && bodyAllowed(w.head.status) && !w.isHead()
	return w.head.finish(out, first, length, w.chunked, w.closes())
}

// closes says whether the connection ends with this answer, as far as one can know before it.
func (w *writer) closes() bool {
	return w.head.closes || w.request.Close || w.c.isClosing() || w.body != nil && w.over && w.body.tooLong()
}

// send sends what is pending and then more, after the head if that was not sent.
func (w *writer) send(more []byte) error {
	w.unsent = false
	first := w.c.pending
	if len(first) == 0 {
		first = more
	}
	out := w.sendHead(w.c.out[:0], first, -1)
	size := len(w.c.pending) + len(more)
	if w.isHead() {
		return w.put(out)
	}
	if size > 0 && w.chunked {
		out = append(strconv.AppendInt(out, int64(size), 16), "\r\n"...)
	}
	out = append(out, w.c.pending...)
	w.c.pending = w.c.pending[:0]
	end := ""
	if size > 0 && w.chunked {
		end = "\r\n"
	}
	if len(more) == 0 {
		return w.put(append(out, end...))
	}
	return w.put(out, more, []byte(end))
}

// put writes to the platform. After an error nothing more is written: the caller is gone.
func (w *writer) put(pieces ...[]byte) error {
	if w.broken != nil {
		return w.broken
	}
	var err error
	if len(pieces) == 1 {
		w.c.out = pieces[0][:0]
		if len(pieces[0]) > 0 {
			_, err = w.c.socket.Write(pieces[0])
		}
	} else {
		w.c.out = pieces[0][:0]
		buffers := net.Buffers(pieces)
		_, err = buffers.WriteTo(w.c.socket)
	}
	w.broken = err
	return err
}

// end is called when the handler has returned. True means that the answer is whole and that nothing keeps the connection from another request.
func (w *writer) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over = true; w.hijacked {
		return false
	}
	closing := w.closes()
	out := w.c.out[:0]
	if !w.sent {
		if w.head.status == 0 {
			w.head.set(http.StatusOK, w.header)
		}
		total := w.written
		if w.head.hasTrailers(w.header) {
			total = -1
		}
		out = w.sendHead(out, w.c.pending, total)
	}
	if !w.isHead() {
		if len(w.c.pending) > 0 && w.chunked {
			out = append(strconv.AppendInt(out, int64(len(w.c.pending)), 16), "\r\n"...)
		}
		out = append(out, w.c.pending...)
		if len(w.c.pending) > 0 && w.chunked {
			out = append(out, "\r\n"...)
		}
		if w.chunked {
			out = w.head.lastChunk(out, w.header)
		}
	}
	short := w.head.length >= 0 && w.written != w.head.length && bodyAllowed(w.head.status) && !w.isHead()
	return w.put(out) == nil && !closing && !short
}

// failed is called when the handler has panicked, with what it panicked with: a 500 where nothing was sent, else an answer that is visibly not whole.
// True as for end.
func (w *writer) failed(problem any) bool {
	aborted := problem == http.ErrAbortHandler //nolint:errorlint // the very value is the agreement
	if !aborted {
		trace(problem)
	}
	w.mu.Lock()
	switch {
	case w.hijacked:
		w.over = true
		_ = w.c.socket.Close()
	case w.sent || w.written > 0 && !w.isHead():
		// What was written before the panic was promised to be sent.
		_ = w.send(nil)
		w.over = true
	case aborted:
		w.over = true
	default:
		w.fail()
		w.mu.Unlock()
		return w.end()
	}
	w.mu.Unlock()
	return false
}

func (w *writer) fail() {
	body := `{"error":{"code":"function_error","message":"the function failed; see its log","request_id":` + quote(w.request.Header.Get("X-Request-Id")) + "}}"
	clear(w.header)
	w.header.Set("Content-Type", "application/json")
	w.header.Set("Content-Length", strconv.Itoa(len(body)))
	w.header.Set("X-Skerry-Error", "function_error")
	w.head = answerHead{}
	w.head.set(http.StatusInternalServerError, w.header)
	w.written = int64(len(body))
	w.c.pending = append(w.c.pending[:0], body...)
	w.unsent = false
}

// Flush implements http.Flusher.
func (w *writer) Flush() { _ = w.FlushError() }

// FlushError is what http.ResponseController calls.
func (w *writer) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	return w.send(nil)
}

// Hijack implements http.Hijacker: the connection is the author's.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return nil, nil, err
	}
	if w.head.status != 0 {
		if err := w.send(nil); err != nil {
			return nil, nil, err
		}
	}
	w.hijacked = true
	socket, buffers := w.c.hijack()
	return socket, buffers, nil
}

// CloseNotify implements http.CloseNotifier, which older frameworks insist on.
func (w *writer) CloseNotify() <-chan bool {
	told := make(chan bool, 1)
	go func() {
		<-w.request.Context().Done()
		told <- true
	}()
	return told
}

// The rest of what http.ResponseController asks for.

func (w *writer) SetReadDeadline(at time.Time) error {
	return w.setDeadline(w.c.socket.SetReadDeadline, at)
}

func (w *writer) SetWriteDeadline(at time.Time) error {
	return w.setDeadline(w.c.socket.SetWriteDeadline, at)
}

func (w *writer) setDeadline(set func(time.Time) error, at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.usable(); err != nil {
		return err
	}
	w.deadlines = true
	return set(at)
}

func (w *writer) EnableFullDuplex() error { return nil } // it always is
