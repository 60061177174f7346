// Command generate decides what a Go project is, and where it is a handler and not a program, writes a main package that serves it.
//
// build.sh runs it in a copy of the project with the folder of the shim's sources as its argument. It prints the shape: "server" (package main) or "handle".
// What does not fit ends with status 1 and says what was looked for, and where what was found is. It reads the syntax only: what it cannot know (a
// type of another package, an embedded method) is left to the compiler, whose errors are led back to the author's lines.
package main

import (
	"fmt"
	"os"
)

const accepted = `accepted are, at the top of the project, a package that is not main with one of
  func Handle(w http.ResponseWriter, r *http.Request)
  func Handle(ctx context.Context, w http.ResponseWriter, r *http.Request)
  func New() *T, where T has such a method Handle, and may have Start(ctx context.Context, cfg map[string]string) error and Stop(ctx context.Context) error
or a package main with a server of its own that listens on $PORT`

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: generate FOLDER-OF-THE-SHIM, in the project's folder")
		os.Exit(2)
	}
	shape, err := run(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(shape)
}

func run(shim string) (string, error) {
	p, err := load()
	if err != nil {
		return "", err
	}
	if p.name == "main" {
		return "server", nil
	}
	found, err := p.decide()
	if err != nil {
		return "", err
	}
	for _, warning := range found.warnings {
		fmt.Fprintln(os.Stderr, "warning:", warning)
	}
	return "handle", write(p.module, shim, found)
}
