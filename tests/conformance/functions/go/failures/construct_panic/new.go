package conformance

import "net/http"

type function struct{}

func New() *function { panic("conformance start") }

func (*function) Handle(http.ResponseWriter, *http.Request) {}
