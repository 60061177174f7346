package conformance

import (
	"context"
	"net/http"
)

// Handle is the form with a context.
func Handle(ctx context.Context, w http.ResponseWriter, r *http.Request) { serve(ctx, w, r) }
