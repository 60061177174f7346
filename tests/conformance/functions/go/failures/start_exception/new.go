package conformance

import (
	"context"
	"errors"
	"net/http"
)

type function struct{}

func New() *function { return &function{} }

func (*function) Start(context.Context, map[string]string) error {
	return errors.New("conformance start\nand a second line")
}

func (*function) Handle(http.ResponseWriter, *http.Request) {}
