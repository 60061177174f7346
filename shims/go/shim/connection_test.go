package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func TestUnreadBodyIsDrainedUpToTheBound(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "unread") })
	c := s.dial()
	c.send(sized("/", drainBytes) + strings.Repeat("x", drainBytes))
	want(t, c.answer("POST").Close, false)
	want(t, c.get("/").StatusCode, 200)

	c = s.dial()
	c.send(sized("/", drainBytes+1))
	answer := c.answer("POST")
	want(t, text(answer), "unread")
	want(t, answer.Close, true)
	c.wantEnd()
}

func TestLongChunkedBodyEndsTheConnectionAfterTheAnswer(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "unread") })
	c := s.dial()
	c.send("POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n")
	want(t, text(c.answer("POST")), "unread") // before anything of the body was sent
	piece := fmt.Sprintf("%x\r\n%s\r\n", drainBytes+1, strings.Repeat("x", drainBytes+1))
	_, _ = io.WriteString(c, piece) // the shim may be gone in the middle of it
	c.wantEnd()
}

func TestBodyThatWasReadInPartCountsWhatIsLeft(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) { _, _ = io.CopyN(io.Discard, r.Body, 100_000) })
	c := s.dial()
	c.send(sized("/", 100_000+drainBytes) + strings.Repeat("x", 100_000+drainBytes))
	want(t, c.answer("POST").Close, false)
	want(t, c.get("/").StatusCode, 200)
}

func TestReplacedBodyDoesNotConfuseTheConnection(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 10)
		_, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		fmt.Fprintf(w, "%v", err)
	})
	c := s.dial()
	for range 2 {
		c.send(sized("/", 1000) + strings.Repeat("GET / HTTP/1.1\r\n\r\n", 56)[:1000])
		want(t, text(c.answer("POST")), "http: request body too large")
	}
}

func TestReaderThatTheHandlerLeftBehindIsEnded(t *testing.T) {
	over := make(chan error, 1)
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		reading := make(chan struct{})
		go func() {
			_, _ = r.Body.Read(make([]byte, 1)) // the one byte that is there
			close(reading)
			_, err := io.ReadAll(r.Body)
			over <- err
		}()
		<-reading
		_, _ = io.WriteString(w, "done")
	})
	c := s.dial()
	c.send(sized("/", 10) + "x")
	want(t, text(c.answer("POST")), "done")
	if err := receive(t, over); err == nil {
		t.Fatal("a body that was cut short looks whole")
	}
	c.wantEnd()
}

func TestHeadIsTakenUpToTheBound(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, len(r.Header.Get("X-Long")))
	})
	const begun, end = "GET / HTTP/1.1\r\nhost: h\r\nx-long: ", "\r\n\r\n"
	room := maxHeadBytes - len(begun) - len(end)
	want(t, text(s.dial().ask(begun+strings.Repeat("v", room)+end)), fmt.Sprint(room))

	c := s.dial()
	_, _ = io.WriteString(c, begun+strings.Repeat("v", room+1)+end) // the last bytes may find nobody
	want(t, c.answer("GET").StatusCode, 400)
	want(t, text(s.dial().get("/")), "0")
}

func (c *client) ask(request string) *http.Response {
	c.t.Helper()
	c.send(request)
	return c.answer("GET")
}

func TestManyHeadersReachTheHandler(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, len(r.Header)) })
	var head strings.Builder
	for i := range 500 {
		fmt.Fprintf(&head, "x-%d: v\r\n", i)
	}
	want(t, text(s.dial().ask("GET / HTTP/1.1\r\nhost: h\r\n"+head.String()+"\r\n")), "500")
}

func TestRequestIsAsAnAuthorExpects(t *testing.T) {
	seen := make(chan *http.Request, 1)
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Body == http.NoBody {
			w.Header().Set("X-None", "1")
		}
		seen <- r
	})
	answer := s.dial().ask("OPTIONS * HTTP/1.1\r\nhost: public.example\r\nx-forwarded-for: 192.0.2.1, 2001:db8::1\r\n\r\n")
	r := <-seen
	want(t, answer.Header.Get("X-None"), "1")
	want(t, r.RemoteAddr, "[2001:db8::1]:0")
	want(t, r.Host, "public.example")
	want(t, r.RequestURI, "*")
	want(t, r.Header.Get("Host"), "")
	want(t, r.Context().Value(http.ServerContextKey) != nil, true)
	receive(t, r.Context().Done()) // the handler has returned
}

func TestDisconnectBehindAnUnreadBodyIsTold(t *testing.T) {
	began, told := make(chan struct{}), make(chan error, 1)
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		told <- r.Context().Err()
	})
	c := s.dial()
	c.send(sized("/", 4<<20) + strings.Repeat("x", 1000))
	<-began
	_ = c.CloseWrite()
	want(t, receive(t, told), context.Canceled)
	_, _ = io.Copy(io.Discard, c)
}

func TestDisconnectEndsAWriteThatWaits(t *testing.T) {
	waits, failed := make(chan struct{}, 1000), make(chan error, 1)
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		piece := bytes.Repeat([]byte("x"), 1<<20)
		for {
			waits <- struct{}{}
			if _, err := w.Write(piece); err != nil {
				failed <- err
				return
			}
		}
	})
	c := s.dial()
	c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
	<-waits // nobody reads, so this first write is more than the socket takes
	_ = c.CloseWrite()
	if err := receive(t, failed); err == nil {
		t.Fatal("no error")
	}
}

func TestDeadlinesOfAnAuthorEndWithTheRequest(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		want(t, control.EnableFullDuplex(), nil)
		want(t, control.SetReadDeadline(longAgo), nil)
		want(t, control.SetWriteDeadline(time.Now().Add(time.Hour)), nil)
	})
	c := s.dial()
	for range 3 {
		want(t, c.get("/").StatusCode, 200)
	}
}

func TestStopWaitsNoLongerThanItsPatience(t *testing.T) {
	hold, began := make(chan struct{}), make(chan struct{})
	s := begin(t, func(http.ResponseWriter, *http.Request) { close(began); <-hold })
	c := s.dial()
	c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
	<-began
	s.stop(time.Millisecond)
	want(t, s.count(), 1)
	close(hold)
	want(t, c.answer("GET").Close, true)
	c.wantEnd()
}

func TestStopEndsUpgradedConnections(t *testing.T) {
	told := make(chan error, 1)
	began := make(chan struct{})
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		socket, buffers, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer socket.Close()
		close(began)
		_, err = buffers.ReadByte()
		told <- err
		_, _ = io.WriteString(socket, "bye")
	})
	c := s.dial()
	c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
	<-began
	s.stop(waitTime)
	want(t, receive(t, told), io.EOF)
	rest, _ := io.ReadAll(c.r)
	want(t, string(rest), "bye") // it may still say goodbye
}

func TestConnectionWithoutARequestDoesNotHoldUpTheStop(t *testing.T) {
	s := begin(t, func(http.ResponseWriter, *http.Request) {})
	c := s.dial()
	other := s.dial()
	want(t, other.get("/").StatusCode, 200) // so c was accepted too
	s.stop(time.Hour)
	c.wantEnd()
	other.wantEnd()
}

func TestQuoteIsJSON(t *testing.T) {
	for _, text := range []string{"", `plain`, `"quoted" \ back`, "\x00\x01\t\n\r\x1f\x7f", "ü€😀\u2028", "bad \xff utf-8"} {
		var back string
		if err := json.Unmarshal([]byte(quote(text)), &back); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want(t, back, strings.ToValidUTF8(text, "\uFFFD"))
	}
}

func TestStatusLineIsBounded(t *testing.T) {
	for _, message := range []string{strings.Repeat("\x01", 100_000), strings.Repeat("€", 100_000), "first\nsecond"} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		(&status{w}).say(message)
		w.Close()
		line, _ := io.ReadAll(r)
		var fields map[string]string
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatal(err)
		}
		want(t, fields["error"], "start_failed")
		want(t, len(line) <= 4096, true)
		want(t, strings.Count(string(line), "\n"), 1)
		want(t, strings.HasPrefix(message, fields["message"]), true)
	}
}
