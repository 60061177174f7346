// Package orders is a small JSON API: orders with lines and totals, kept in memory.
//
// Memory is a cache and no store: it is this instance's alone and goes with it. A real service keeps its orders in a database and is otherwise the same.
package orders

import (
	"net/http"
	"os"
	"strconv"
)

const defaultMaxBodyBytes = 64 << 10

var api = newHandler()

// Handle serves one request; the platform calls it.
func Handle(w http.ResponseWriter, r *http.Request) { api.ServeHTTP(w, r) }

func newHandler() http.Handler {
	limit, err := strconv.ParseInt(os.Getenv("MAX_BODY_BYTES"), 10, 64)
	if err != nil || limit <= 0 {
		limit = defaultMaxBodyBytes
	}
	s := &shop{orders: map[string]order{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders", s.create)
	mux.HandleFunc("GET /orders", s.list)
	mux.HandleFunc("GET /orders/{id}", s.get)
	mux.HandleFunc("DELETE /orders/{id}", s.remove)
	return chain(mux, logged, recovered, jsonOnly, limited(limit))
}
