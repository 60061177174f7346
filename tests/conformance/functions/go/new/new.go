package conformance

import (
	"context"
	"fmt"
	"net/http"
)

// Function is the form with hooks.
type Function struct{}

// New makes one for each instance.
func New() *Function { return &Function{} }

// Start runs before the first request.
func (*Function) Start(_ context.Context, cfg map[string]string) error {
	started.times++
	if value, ok := cfg["CONFORMANCE_VALUE"]; ok {
		started.value = value
	}
	return nil
}

// Handle answers.
func (*Function) Handle(w http.ResponseWriter, r *http.Request) { serve(r.Context(), w, r) }

// Stop runs after the last request.
func (*Function) Stop(context.Context) error {
	fmt.Println("stop hook ran")
	return nil
}
