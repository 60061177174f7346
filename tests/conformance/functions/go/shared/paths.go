// Package conformance has the paths of SPEC.md, in terms of what a Go handler gets.
package conformance

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

const pieceBytes = 64 << 10

type call struct {
	ctx context.Context
	w   http.ResponseWriter
	r   *http.Request
	q   url.Values
}

var paths = map[string]func(call){
	"/hello": hello, "/request": request, "/echo": echo, "/digest": digest, "/upload": digest, "/hold": hold, "/unread": unread, "/bytes": bytesPath, "/empty": empty,
	"/status": status, "/repeated": repeated, "/stream": stream, "/gate": gate, "/wait": wait, "/told": told, "/error/before": errorBefore,
	"/error/after": errorAfter, "/error/short": errorShort, "/env": env, "/descriptors": descriptors, "/print": printPath, "/hooks": hooks,
}

func serve(ctx context.Context, w http.ResponseWriter, r *http.Request) {
	c := call{ctx, w, r, r.URL.Query()}
	path := r.URL.Path
	if strings.HasPrefix(path, "/request/") {
		path = "/request"
	}
	if handler, ok := paths[path]; ok {
		handler(c)
		return
	}
	c.text(http.StatusNotFound, "no such path\n")
}

func (c call) text(code int, body string) {
	c.w.Header().Set("Content-Type", "text/plain")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(code)
	_, _ = io.WriteString(c.w, body)
}

func (c call) json(value any) {
	c.w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(c.w).Encode(value); err != nil {
		panic(err)
	}
}

// Gates

var gates = struct {
	sync.Mutex
	byName map[string]chan struct{}
}{byName: map[string]chan struct{}{}}

func gateOf(name string) chan struct{} {
	gates.Lock()
	defer gates.Unlock()
	if gates.byName[name] == nil {
		gates.byName[name] = make(chan struct{}, 1000)
	}
	return gates.byName[name]
}

func pass(name string) { <-gateOf(name) }

func gate(c call) {
	gateOf(c.q.Get("name")) <- struct{}{}
	c.w.WriteHeader(http.StatusNoContent)
}

// Paths

func hello(c call) { c.text(http.StatusOK, "hello\n") }

// read calls each with every piece, and stops at an error: the caller went away, or the framing is broken.
func (c call) read(each func(piece []byte)) (int, hash.Hash) {
	buffer, size, sum := make([]byte, pieceBytes), 0, sha256.New()
	for {
		n, err := c.r.Body.Read(buffer)
		if n > 0 {
			size += n
			sum.Write(buffer[:n])
			each(buffer[:n])
		}
		if err == io.EOF {
			return size, sum
		}
		if err != nil {
			panic(err)
		}
	}
}

func request(c call) {
	headers := [][2]string{{"host", c.r.Host}}
	for name, values := range c.r.Header {
		for _, value := range values {
			headers = append(headers, [2]string{strings.ToLower(name), value})
		}
	}
	raw, _, _ := strings.Cut(c.r.RequestURI, "?")
	client, _, err := net.SplitHostPort(c.r.RemoteAddr)
	if err != nil {
		panic(err)
	}
	size, sum := c.read(func([]byte) {})
	c.json(map[string]any{
		"method": c.r.Method, "path": c.r.URL.Path, "raw_path": raw, "query": c.r.URL.RawQuery, "scheme": nil, "client": client,
		"headers": headers, "bytes": size, "sha256": hex.EncodeToString(sum.Sum(nil)),
	})
}

func echo(c call) {
	kind := c.r.Header.Get("Content-Type")
	if kind == "" {
		kind = "application/octet-stream"
	}
	c.w.Header().Set("Content-Type", kind)
	c.read(func(piece []byte) {
		if _, err := c.w.Write(piece); err != nil {
			panic(err)
		}
	})
}

func digest(c call) {
	id, total := c.q.Get("id"), 0
	size, sum := c.read(func(piece []byte) {
		if total += len(piece); id != "" {
			fmt.Printf("upload %s %d\n", id, total)
		}
	})
	c.json(map[string]any{"bytes": size, "sha256": hex.EncodeToString(sum.Sum(nil))})
}

func hold(c call) {
	name := c.q.Get("gate")
	fmt.Printf("hold %s\n", name)
	pass(name)
	digest(c)
}

func unread(c call) { c.text(http.StatusOK, "unread\n") }

func bytesPath(c call) {
	size, err := strconv.Atoi(c.q.Get("n"))
	if err != nil {
		panic(err)
	}
	c.w.Header().Set("Content-Type", "application/octet-stream")
	if c.q.Get("framing") == "length" {
		c.w.Header().Set("Content-Length", strconv.Itoa(size))
	}
	piece := make([]byte, pieceBytes)
	for at := 0; at < size; at += pieceBytes {
		part := piece[:min(pieceBytes, size-at)]
		for i := range part {
			part[i] = byte((at + i) % 251)
		}
		if _, err := c.w.Write(part); err != nil {
			panic(err)
		}
	}
}

func empty(call) {}

func status(c call) {
	code, err := strconv.Atoi(c.q.Get("code"))
	if err != nil {
		panic(err)
	}
	c.w.Header().Set("X-Conformance", "status")
	c.w.WriteHeader(code)
}

func repeated(c call) {
	h := c.w.Header()
	h.Add("X-Repeated", "one")
	h.Add("X-Repeated", "two")
	h.Add("Set-Cookie", "a=1; Path=/")
	h.Add("Set-Cookie", "b=2, c; Path=/")
	c.text(http.StatusOK, "ok\n")
}

func stream(c call) {
	name := c.q.Get("gate")
	defer fmt.Printf("stream end %s\n", name)
	count, err := strconv.Atoi(c.q.Get("n"))
	if err != nil {
		panic(err)
	}
	c.w.Header().Set("Content-Type", "text/plain")
	for number := range count {
		if number > 0 {
			pass(name)
		}
		fmt.Fprintf(c.w, "piece %d\n", number)
	}
}

func wait(c call) {
	name := c.q.Get("gate")
	fmt.Printf("wait begin %s\n", name)
	pass(name)
	fmt.Printf("wait end %s\n", name)
	c.text(http.StatusOK, "waited\n")
}

func told(c call) {
	id := c.q.Get("id")
	fmt.Printf("told waiting %s\n", id)
	<-c.ctx.Done()
	fmt.Printf("told %s\n", id)
	pass(id)
	fmt.Printf("told returned %s\n", id)
}

func errorBefore(call) { panic("conformance before") }

func errorAfter(c call) {
	c.w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(c.w, "partial\n")
	panic("conformance after")
}

func errorShort(c call) {
	c.w.Header().Set("Content-Length", "100")
	errorAfter(c)
}

func env(c call) {
	all := map[string]string{}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		all[name] = value
	}
	directory, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	c.json(map[string]any{"env": all, "cwd": directory})
}

func descriptors(c call) {
	out, err := exec.Command("/bin/sh", "-c", `for f in /proc/$$/fd/*; do readlink "$f"; done`).Output()
	if err != nil {
		panic(err)
	}
	c.text(http.StatusOK, string(out))
}

func printPath(c call) {
	fmt.Println(c.q.Get("out"))
	fmt.Fprintln(os.Stderr, c.q.Get("err"))
	pass(c.q.Get("gate"))
	c.w.WriteHeader(http.StatusNoContent)
}

var started struct {
	times int
	value any
}

func hooks(c call) { c.json(map[string]any{"starts": started.times, "value": started.value}) }
