package orders

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"os"
	"runtime/debug"
	"time"
)

type middleware func(http.Handler) http.Handler

// chain wraps h so that the first middleware sees a request first.
func chain(h http.Handler, all ...middleware) http.Handler {
	for i := len(all) - 1; i >= 0; i-- {
		h = all[i](h)
	}
	return h
}

// problem is the body of every refusal (RFC 9457).
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
}

func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(problem{http.StatusText(status), status, detail})
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// logged writes one JSON line a request, with the id that the platform gave it.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, rec := time.Now(), &recorder{ResponseWriter: w}
		next.ServeHTTP(rec, r)
		line, _ := json.Marshal(map[string]any{
			"method": r.Method, "path": r.URL.Path, "status": rec.status, "us": time.Since(begin).Microseconds(), "request_id": r.Header.Get("X-Request-Id"),
		})
		fmt.Fprintln(os.Stdout, string(line))
	})
}

// recovered turns a panic before the head into a 500 that says nothing of the inside.
func recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			err := recover()
			if err == nil {
				return
			}
			if rec, ok := w.(*recorder); ok && rec.status != 0 || err == http.ErrAbortHandler {
				panic(err)
			}
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", err, debug.Stack())
			refuse(w, http.StatusInternalServerError, "")
		}()
		next.ServeHTTP(w, r)
	})
}

// jsonOnly refuses bodies of another media type.
func jsonOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
				refuse(w, http.StatusUnsupportedMediaType, "send application/json")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// limited bounds what a handler may read of a body.
func limited(bytes int64) middleware {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, bytes)
			next.ServeHTTP(w, r)
		})
	}
}
