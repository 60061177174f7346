// Package hello is a function that greets.
package hello

import (
	"fmt"
	"net/http"
)

// Handle answers every path.
func Handle(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintf(w, "hello from Go at %s\n", r.URL.Path)
}
