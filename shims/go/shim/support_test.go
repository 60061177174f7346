package shim

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const waitTime = 10 * time.Second

// started is a server on a socket of its own, as Run makes it.
type started struct {
	*server
	t    *testing.T
	path string
	done chan error
}

func begin(t *testing.T, handler http.HandlerFunc) *started {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(listener, handler)
	if err != nil {
		t.Fatal(err)
	}
	b := &started{server: s, t: t, path: path, done: make(chan error, 1)}
	go func() { b.done <- s.serve() }()
	t.Cleanup(func() {
		s.stop(waitTime)
		if err := <-b.done; err != nil {
			t.Error(err)
		}
	})
	return b
}

// client is the platform's side of one connection.
type client struct {
	*net.UnixConn
	t *testing.T
	r *bufio.Reader
}

func (s *started) dial() *client {
	s.t.Helper()
	socket, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: s.path, Net: "unix"})
	if err != nil {
		s.t.Fatal(err)
	}
	_ = socket.SetDeadline(time.Now().Add(waitTime))
	s.t.Cleanup(func() { socket.Close() })
	return &client{socket, s.t, bufio.NewReader(socket)}
}

func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) get(path string) *http.Response {
	c.t.Helper()
	c.send("GET " + path + " HTTP/1.1\r\nhost: h\r\nx-request-id: id-1\r\n\r\n")
	return c.answer("GET")
}

// answer reads one answer with its body, which is put back.
func (c *client) answer(method string) *http.Response {
	c.t.Helper()
	answer, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		c.t.Fatalf("body: %v after %q", err, body)
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer
}

func text(answer *http.Response) string {
	body, _ := io.ReadAll(answer.Body)
	return string(body)
}

// wantEnd fails if anything but the end is read.
func (c *client) wantEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	if len(rest) != 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Fatalf("%q, %v instead of the end", rest, err)
	}
}

func want[T comparable](t *testing.T, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Fatalf("got %v, want %v", got, wanted)
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(waitTime):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

var standardError sync.Mutex

// errorsOf is what was written to standard error while f ran.
func errorsOf(t *testing.T, f func()) string {
	t.Helper()
	standardError.Lock()
	defer standardError.Unlock()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stderr
	os.Stderr = w
	collected := make(chan string)
	go func() {
		all, _ := io.ReadAll(r)
		collected <- string(all)
	}()
	f()
	os.Stderr = old
	w.Close()
	return <-collected
}

func sized(path string, n int) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nhost: h\r\ncontent-length: %d\r\n\r\n", path, n)
}
