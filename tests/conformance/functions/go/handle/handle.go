package conformance

import "net/http"

// Handle is the plain form.
func Handle(w http.ResponseWriter, r *http.Request) { serve(r.Context(), w, r) }
