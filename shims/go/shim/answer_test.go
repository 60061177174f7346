package shim

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestOrdinaryAnswerHasItsLength(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		_, _ = io.WriteString(w, "second")
	})
	c := s.dial()
	known := 0
	for range 50 {
		answer := c.get("/")
		want(t, text(answer), "first second")
		want(t, answer.Header.Get("Content-Type"), "text/plain; charset=utf-8")
		if answer.ContentLength == 12 {
			known++
		}
	}
	// A handler that loses the processor between its writes is answered in chunks: rare, not wrong.
	if known < 40 {
		t.Fatalf("%d of 50 answers had a length", known)
	}
}

func TestHeaderIsThatOfWriteHeader(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Early", "yes")
		w.Header().Set("X-Line", "a\r\nX-Forged: b")
		w.WriteHeader(http.StatusTeapot)
		w.Header().Set("X-Late", "no")
		_, _ = io.WriteString(w, "tea")
	})
	answer := s.dial().get("/")
	want(t, answer.StatusCode, http.StatusTeapot)
	want(t, answer.Header.Get("X-Early"), "yes")
	want(t, answer.Header.Get("X-Late"), "")
	want(t, answer.Header.Get("X-Forged"), "")
	want(t, answer.Header.Get("Date") != "", true)
}

func TestTrailersPass(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Never")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
		w.Header().Set(http.TrailerPrefix+"X-Undeclared", "43")
	})
	c := s.dial()
	c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
	answer := c.answer("GET")
	want(t, answer.Trailer.Get("X-Sum"), "42")
	want(t, answer.Trailer.Get("X-Undeclared"), "43")
	want(t, answer.Trailer.Get("X-Never"), "")
	want(t, c.get("/").StatusCode, 200)
}

func TestTrailersOfARequestReachTheHandler(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Trailer.Get("X-Sum")+r.Trailer.Get("X-Other"))
	})
	for _, declared := range []string{"", "trailer: x-sum\r\n"} {
		c := s.dial()
		c.send("POST / HTTP/1.1\r\nhost: h\r\n" + declared + "transfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nx-sum: 7\r\n\r\n")
		want(t, text(c.answer("POST")), "7")
	}
}

func TestPanicAfterWriteHeaderIsStillA500(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		w.WriteHeader(http.StatusCreated)
		panic("secret detail")
	})
	c := s.dial()
	log := errorsOf(t, func() {
		for range 2 {
			answer := c.get("/")
			want(t, answer.StatusCode, 500)
			want(t, answer.Header.Get("X-Skerry-Error"), "function_error")
			want(t, text(answer), `{"error":{"code":"function_error","message":"the function failed; see its log","request_id":"id-1"}}`)
		}
	})
	if !strings.Contains(log, "secret detail") || !strings.Contains(log, "answer_test.go") {
		t.Fatalf("no trace: %q", log)
	}
}

func TestAbortHandlerSaysNothing(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/after" {
			_, _ = io.WriteString(w, "some")
		}
		panic(http.ErrAbortHandler)
	})
	log := errorsOf(t, func() {
		c := s.dial()
		c.send("GET /before HTTP/1.1\r\nhost: h\r\n\r\n")
		c.wantEnd()
		c = s.dial()
		c.send("GET /after HTTP/1.1\r\nhost: h\r\n\r\n")
		answer, err := http.ReadResponse(c.r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		want(t, string(body), "some")
		want(t, errors.Is(err, io.ErrUnexpectedEOF), true)
	})
	want(t, log, "")
}

func TestWritesThatDoNotFitAreRefused(t *testing.T) {
	failures := make(chan error, 1)
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/long":
			w.Header().Set("Content-Length", "3")
			_, _ = io.WriteString(w, "abc")
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		}
		_, err := io.WriteString(w, "d")
		failures <- err
	})
	c := s.dial()
	want(t, text(c.get("/long")), "abc")
	want(t, receive(t, failures), http.ErrContentLength)
	want(t, c.get("/204").StatusCode, 204)
	want(t, receive(t, failures), http.ErrBodyNotAllowed)
	want(t, text(c.get("/")), "d")
}

func TestShortAnswerEndsTheConnection(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "10")
		_, _ = io.WriteString(w, "abc")
	})
	c := s.dial()
	c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	want(t, string(body), "abc")
	want(t, err, io.ErrUnexpectedEOF)
}

func TestWriterIsOverWhenTheHandlerReturned(t *testing.T) {
	leaked := make(chan http.ResponseWriter, 1)
	s := begin(t, func(w http.ResponseWriter, r *http.Request) { leaked <- w })
	c := s.dial()
	c.get("/")
	w := <-leaked
	if _, err := w.Write([]byte("late")); !errors.Is(err, errReturned) {
		t.Fatal(err)
	}
	w.WriteHeader(500)
	w.(http.Flusher).Flush()
	want(t, c.get("/").StatusCode, 200)
}

func TestSuperfluousWriteHeaderNamesItsLine(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(201)
		w.WriteHeader(500)
	})
	log := errorsOf(t, func() { want(t, s.dial().get("/").StatusCode, 201) })
	if !strings.Contains(log, "WriteHeader(500) from ") || !strings.Contains(log, "answer_test.go:") {
		t.Fatal(log)
	}
}

func TestInformationalAnswersGoOutByThemselves(t *testing.T) {
	hold := make(chan struct{})
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		<-hold
	})
	c := s.dial()
	c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
	early := c.answer("GET")
	want(t, early.StatusCode, 103)
	want(t, early.Header.Get("Link"), "</x>; rel=preload")
	close(hold)
	want(t, c.answer("GET").StatusCode, 200)
}

func TestHijackedConnectionIsTheAuthors(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		socket, buffers, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer socket.Close()
		if _, err := w.Write(nil); !errors.Is(err, http.ErrHijacked) {
			panic(err)
		}
		_, _ = buffers.WriteString("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n")
		_ = buffers.Flush()
		line, err := buffers.ReadString('\n')
		if err != nil || r.URL.Path == "/panic" {
			panic("hijacked")
		}
		_, _ = io.WriteString(socket, strings.ToUpper(line))
	})
	c := s.dial()
	// The first words of the new protocol come with the head: they may be in a buffer already.
	c.send("GET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nhello\n")
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	want(t, answer.StatusCode, 101)
	line, _ := c.r.ReadString('\n')
	want(t, line, "HELLO\n")
	c.wantEnd()

	_ = errorsOf(t, func() {
		c = s.dial()
		c.send("GET /panic HTTP/1.1\r\nhost: h\r\n\r\nx\n")
		if _, err := http.ReadResponse(c.r, nil); err != nil {
			t.Fatal(err)
		}
		c.wantEnd()
	})
}

func TestCloseNotifyTellsOlderFrameworks(t *testing.T) {
	told := make(chan bool, 1)
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		told <- <-w.(http.CloseNotifier).CloseNotify() //nolint:staticcheck // that is what they use
	})
	c := s.dial()
	c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
	_ = c.CloseWrite()
	want(t, receive(t, told), true)
}

// The standard library's own handlers find what they look for.

func TestStandardHandlersWork(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789"), 20_000)
	file := filepath.Join(t.TempDir(), "file.bin")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/proxy/cut" {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "cut")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		body, _ := io.ReadAll(r.Body) // a server of net/http gives up what it has not read when it answers
		_, _ = w.Write(body)
	}))
	defer upstream.Close()
	target, _ := url.Parse(upstream.URL)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	mux := http.NewServeMux()
	mux.Handle("/proxy/", proxy)
	mux.HandleFunc("GET /file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	mux.HandleFunc("POST /form", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.FormValue("a")) })
	s := begin(t, mux.ServeHTTP)
	browser := http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", s.path) }}}
	defer browser.CloseIdleConnections()

	answer, err := browser.Post("http://h/proxy/echo", "text/plain", bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	echoed, err := io.ReadAll(answer.Body)
	want(t, err, nil)
	want(t, bytes.Equal(echoed, content), true)

	ranged, _ := http.NewRequest("GET", "http://h/file", nil)
	ranged.Header.Set("Range", "bytes=10-29")
	answer, err = browser.Do(ranged)
	if err != nil {
		t.Fatal(err)
	}
	want(t, answer.StatusCode, 206)
	want(t, text(answer), "01234567890123456789")
	want(t, answer.ContentLength, 20)

	answer, err = browser.PostForm("http://h/form", url.Values{"a": {"b c"}})
	if err != nil {
		t.Fatal(err)
	}
	want(t, text(answer), "b c")

	_ = errorsOf(t, func() {
		answer, err = browser.Get("http://h/proxy/cut")
		if err != nil {
			t.Fatal(err)
		}
		if _, err = io.ReadAll(answer.Body); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("a cut answer looks whole: %v", err)
		}
	})
}

func TestHeadTellsTheLengthOfWhatItDoesNotSend(t *testing.T) {
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(bytes.Repeat([]byte("<html>"), 1000))
	})
	c := s.dial()
	for range 2 {
		c.send("HEAD / HTTP/1.1\r\nhost: h\r\n\r\n")
		answer := c.answer("HEAD")
		want(t, answer.ContentLength, 6000)
		want(t, answer.Header.Get("Content-Type"), "text/html; charset=utf-8")
	}
}

func TestLargeWriteIsSentWithoutWaiting(t *testing.T) {
	hold := make(chan struct{})
	large := bytes.Repeat([]byte("x"), pendingBytes+1)
	s := begin(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "small ")
		_, _ = w.Write(large)
		<-hold
	})
	c := s.dial()
	c.send("GET / HTTP/1.1\r\nhost: h\r\n\r\n")
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 6+len(large))
	if _, err := io.ReadFull(bufio.NewReader(answer.Body), got); err != nil {
		t.Fatal(err)
	}
	want(t, string(got[:7]), "small x")
	close(hold)
}
