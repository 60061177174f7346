// Package function answers HTTP requests. The platform makes the main package around Handle.
package function

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
)

// Handle serves one request. A panic is a 500 and a log entry; the process lives.
func Handle(w http.ResponseWriter, r *http.Request) {
	log.Println("handling", r.Method, r.URL.Path)
	greeting := os.Getenv("GREETING")
	if greeting == "" {
		greeting = "Hello"
	}
	name := r.URL.Query().Get("name")
	if name == "" {
		name = "world"
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]string{
		"message":  greeting + ", " + name + "!",
		"path":     r.URL.Path,
		"location": os.Getenv("SKERRY_LOCATION"),
	})
}
