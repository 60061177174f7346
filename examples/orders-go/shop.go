package orders

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sort"
	"strings"
	"sync"
)

const (
	maxOrders   = 10_000
	maxLines    = 100
	maxQuantity = 10_000
	maxCents    = 1_000_000_00
	maxText     = 200
)

type line struct {
	Article  string `json:"article"`
	Quantity int64  `json:"quantity"`
	Cents    int64  `json:"cents"`
}

type order struct {
	ID       string `json:"id"`
	Customer string `json:"customer"`
	Lines    []line `json:"lines"`
	Total    int64  `json:"total_cents"`
}

// check fills Total, or says which field is wrong.
func (o *order) check() error {
	if o.Customer = strings.TrimSpace(o.Customer); o.Customer == "" || len(o.Customer) > maxText {
		return fmt.Errorf("customer: must have 1 to %d bytes", maxText)
	}
	if len(o.Lines) == 0 || len(o.Lines) > maxLines {
		return fmt.Errorf("lines: must be 1 to %d", maxLines)
	}
	o.Total = 0
	for i, l := range o.Lines {
		switch {
		case l.Article == "" || len(l.Article) > maxText:
			return fmt.Errorf("lines[%d].article: must have 1 to %d bytes", i, maxText)
		case l.Quantity < 1 || l.Quantity > maxQuantity:
			return fmt.Errorf("lines[%d].quantity: must be 1 to %d", i, maxQuantity)
		case l.Cents < 0 || l.Cents > maxCents:
			return fmt.Errorf("lines[%d].cents: must be 0 to %d", i, maxCents)
		}
		// The bounds above keep this below MaxInt64.
		o.Total += l.Quantity * l.Cents
	}
	return nil
}

type shop struct {
	mu     sync.Mutex
	orders map[string]order
}

func decode(r *http.Request, into any) (int, error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); more != io.EOF {
			err = errors.New("more than one JSON value")
		}
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body is over %d bytes", tooLarge.Limit)
	}
	return http.StatusBadRequest, err
}

func send(w http.ResponseWriter, r *http.Request, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	if status == http.StatusOK {
		sum := sha256.Sum256(body)
		tag := `"` + hex.EncodeToString(sum[:8]) + `"`
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

func (s *shop) create(w http.ResponseWriter, r *http.Request) {
	var o order
	if status, err := decode(r, &o); err != nil {
		refuse(w, status, err.Error())
		return
	}
	if err := o.check(); err != nil {
		refuse(w, http.StatusUnprocessableEntity, err.Error())
		return
	}
	id := make([]byte, 8)
	rand.Read(id)
	o.ID = hex.EncodeToString(id)
	s.mu.Lock()
	full := len(s.orders) >= maxOrders
	if !full {
		s.orders[o.ID] = o
	}
	s.mu.Unlock()
	if full {
		refuse(w, http.StatusInsufficientStorage, fmt.Sprintf("no more than %d orders are kept", maxOrders))
		return
	}
	w.Header().Set("Location", "/orders/"+o.ID)
	send(w, r, http.StatusCreated, o)
}

func (s *shop) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	all := make([]order, 0, len(s.orders))
	for _, o := range s.orders {
		all = append(all, o)
	}
	s.mu.Unlock()
	sort.Slice(all, func(i, j int) bool { return all[i].ID < all[j].ID })
	send(w, r, http.StatusOK, all)
}

func (s *shop) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	o, ok := s.orders[r.PathValue("id")]
	s.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "no such order in this instance")
		return
	}
	send(w, r, http.StatusOK, o)
}

func (s *shop) remove(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.orders[r.PathValue("id")]; !ok {
		refuse(w, http.StatusNotFound, "no such order in this instance")
		return
	}
	delete(s.orders, r.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}
