package orders

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func call(h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestAnOrderIsKeptAndRemoved(t *testing.T) {
	h := newHandler()
	w := call(h, "POST", "/orders", `{"customer":"Ada","lines":[{"article":"pen","quantity":3,"cents":250}]}`)
	var o order
	if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil || w.Code != 201 || o.Total != 750 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := call(h, "GET", "/orders/"+o.ID, ""); w.Code != 200 || w.Header().Get("ETag") == "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w := call(h, "DELETE", "/orders/"+o.ID, ""); w.Code != 204 {
		t.Fatalf("%d", w.Code)
	}
	if w := call(h, "GET", "/orders/"+o.ID, ""); w.Code != 404 {
		t.Fatalf("%d", w.Code)
	}
}

func TestWrongOrdersAreRefusedWithTheField(t *testing.T) {
	for body, want := range map[string]string{
		`{"customer":" ","lines":[]}`:                                                     "customer",
		`{"customer":"Ada","lines":[]}`:                                                   "lines",
		`{"customer":"Ada","lines":[{"article":"pen","quantity":0,"cents":1}]}`:           "lines[0].quantity",
		`{"customer":"Ada","lines":[{"article":"pen","quantity":1,"cents":-1}]}`:          "lines[0].cents",
		`{"customer":"Ada","unknown":1}`:                                                  "unknown",
		`{"customer":"Ada","lines":[{"article":"pen","quantity":1,"cents":1}]}{"more":1}`: "more than one",
		`{"customer":"` + strings.Repeat("a", 70_000) + `","lines":[]}`:                   "65536 bytes",
	} {
		w := call(newHandler(), "POST", "/orders", body)
		if w.Code < 400 || w.Code >= 500 || !strings.Contains(w.Body.String(), want) || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%.60s: %d %s", body, w.Code, w.Body)
		}
	}
}

func TestAPanicSaysNothingOfTheInside(t *testing.T) {
	h := chain(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the inside") }), logged, recovered)
	if w := call(h, "GET", "/", ""); w.Code != 500 || strings.Contains(w.Body.String(), "inside") {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}
