package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	goMod  = "module example.com/f\n\ngo 1.24\n"
	header = "package f\n\nimport (\n\t\"context\"\n\t\"net/http\"\n)\n\nvar _ context.Context\nvar _ http.Handler\n\n"
	plain  = "func Handle(w http.ResponseWriter, r *http.Request) {}\n"
)

// sources is shims/go, found before a test changes the directory.
var sources = func() string {
	folder, err := filepath.Abs("..")
	if err != nil {
		panic(err)
	}
	return folder
}()

func lay(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	t.Setenv("GOFLAGS", "-buildvcs=false")
	t.Setenv("GOWORK", "off")
	t.Setenv("GOTOOLCHAIN", "local")
	t.Setenv("CGO_ENABLED", "0")
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// compile is what build.sh does after the generator; it returns go's words.
func compile(t *testing.T) (string, error) {
	t.Helper()
	out, err := exec.Command("go", "build", "-trimpath", "-o", "function", "./"+mainFolder).CombinedOutput()
	return string(out), err
}

func TestProjectsThatAreServed(t *testing.T) {
	const instance = "type F struct{}\nfunc New() *F { return &F{} }\n"
	for name, files := range map[string]map[string]string{
		"plain":                   {"f.go": header + plain},
		"with a context":          {"f.go": header + "func Handle(ctx context.Context, w http.ResponseWriter, r *http.Request) {}\n"},
		"unnamed parameters":      {"f.go": header + "func Handle(http.ResponseWriter, *http.Request) {}\n"},
		"other import names":      {"f.go": "package f\n\nimport web \"net/http\"\n\nfunc Handle(w web.ResponseWriter, r *web.Request) {}\n"},
		"dot import":              {"f.go": "package f\n\nimport . \"net/http\"\n\ntype F struct{}\n\nfunc New() *F { return nil }\n\nfunc (*F) Handle(w ResponseWriter, r *Request) {}\n"},
		"aliases":                 {"f.go": header + "type W = http.ResponseWriter\ntype R = http.Request\nfunc Handle(w W, r *R) {}\n"},
		"instance":                {"f.go": header + instance + "func (*F) Handle(w http.ResponseWriter, r *http.Request) {}\n"},
		"instance with a context": {"f.go": header + instance + "func (*F) Handle(ctx context.Context, w http.ResponseWriter, r *http.Request) {}\n"},
		"instance over two files": {"f.go": header + instance, "g.go": header + "func (f *F) Handle(w http.ResponseWriter, r *http.Request) {}\n"},
		"instance by value":       {"f.go": header + "type F struct{}\nfunc New() F { return F{} }\nfunc (F) Handle(w http.ResponseWriter, r *http.Request) {}\n"},
		"instance, embedded":      {"f.go": header + "type base struct{}\nfunc (base) Handle(w http.ResponseWriter, r *http.Request) {}\ntype F struct{ base }\nfunc New() *F { return &F{} }\n"},
		"instance, interface":     {"f.go": header + "type I interface{ Handle(http.ResponseWriter, *http.Request) }\nfunc New() I { return nil }\n"},
		"instance, generic":       {"f.go": header + "type F[T any] struct{}\nfunc (*F[T]) Handle(w http.ResponseWriter, r *http.Request) {}\nfunc New() *F[int] { return nil }\n"},
		"instance, elsewhere":     {"f.go": "package f\n\nimport \"example.com/f/in\"\n\nfunc New() *in.F { return nil }\n", "in/in.go": "package in\n\nimport \"net/http\"\n\ntype F struct{}\n\nfunc (*F) Handle(w http.ResponseWriter, r *http.Request) {}\n"},
		"hooks":                   {"f.go": header + instance + "func (*F) Handle(w http.ResponseWriter, r *http.Request) {}\nfunc (*F) Start(ctx context.Context, cfg map[string]string) error { return nil }\nfunc (*F) Stop(ctx context.Context) {}\n"},
		"a New that helps":        {"f.go": header + plain + "type S struct{}\nfunc New(n int) *S { return nil }\n"},
		"a New of something else": {"f.go": header + plain + "type S struct{}\nfunc New() *S { return nil }\n"},
		"files left out":          {"f.go": header + plain, "f_test.go": "package f_test\n", "w.go": "//go:build windows\n\npackage other\n\nfunc Handle() {}\n", "f_windows.go": "package f\n\nfunc Handle() {}\n"},
		"shim's name taken":       {"f.go": header + plain, "shim/shim.go": "package shim\n"},
		"package named function":  {"f.go": "package function\n\nimport \"net/http\"\n\nfunc Handle(w http.ResponseWriter, r *http.Request) {}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			files["go.mod"] = goMod
			lay(t, files)
			shape, err := run(sources)
			if err != nil || shape != "handle" {
				t.Fatal(shape, err)
			}
			if out, err := compile(t); err != nil {
				t.Fatal(out)
			}
		})
	}
}

func TestOwnServerIsLeftAlone(t *testing.T) {
	lay(t, map[string]string{"go.mod": goMod, "main.go": "package main\n\nfunc main() {}\n"})
	shape, err := run(sources)
	if err != nil || shape != "server" {
		t.Fatal(shape, err)
	}
	if _, err := os.Stat(mainFolder); !os.IsNotExist(err) {
		t.Fatal("something was generated")
	}
}

func TestProjectsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		words []string
	}{
		"nothing at the top":   {map[string]string{"cmd/x/main.go": "package main\nfunc main() {}\n"}, []string{"no Go package at the top of the project", "func Handle(w", "package main"}},
		"only tests":           {map[string]string{"f_test.go": "package f\n"}, []string{"no Go package at the top"}},
		"no handler":           {map[string]string{"f.go": header + "func Serve() {}\nfunc Also() {}\n"}, []string{"neither func Handle nor func New", "exports Also, Serve"}},
		"unexported handler":   {map[string]string{"f.go": "package f\n\nfunc handle() {}\n"}, []string{"exports no function"}},
		"an event":             {map[string]string{"f.go": header + "\nfunc Handle(ctx context.Context, event string) (string, error) { return \"\", nil }\n"}, []string{"f.go:12: Handle returns 2 values", "accepted are"}},
		"wrong parameters":     {map[string]string{"f.go": header + "func Handle(r *http.Request, w http.ResponseWriter) {}\n"}, []string{"f.go:11: Handle takes (*http.Request, http.ResponseWriter)", "accepted are"}},
		"request by value":     {map[string]string{"f.go": header + "func Handle(w http.ResponseWriter, r http.Request) {}\n"}, []string{"f.go:11: Handle takes (http.ResponseWriter, http.Request)"}},
		"no parameters":        {map[string]string{"f.go": "package f\n\nfunc Handle() {}\n"}, []string{"f.go:3: Handle takes ()"}},
		"generic":              {map[string]string{"f.go": header + "func Handle[T any](w http.ResponseWriter, r *http.Request) {}\n"}, []string{"f.go:11: Handle has type parameters"}},
		"New with parameters":  {map[string]string{"f.go": "package f\n\ntype F struct{}\n\nfunc New(n int) *F { return nil }\n"}, []string{"f.go:5: New takes 1 parameters"}},
		"New of two":           {map[string]string{"f.go": "package f\n\ntype F struct{}\n\nfunc New() (*F, error) { return nil, nil }\n"}, []string{"f.go:5: New returns 2 values"}},
		"New without Handle":   {map[string]string{"f.go": "package f\n\ntype F struct{}\n\nfunc New() *F { return nil }\n"}, []string{"f.go:5: New returns F (f.go:3), which has no method Handle"}},
		"New of a basic type":  {map[string]string{"f.go": "package f\n\nfunc New() error { return nil }\n"}, []string{"f.go:3: New returns error, which has no method Handle"}},
		"method does not fit":  {map[string]string{"f.go": "package f\n\ntype F struct{}\n\nfunc New() *F { return nil }\n\nfunc (*F) Handle(s string) {}\n"}, []string{"f.go:7: F.Handle takes (string)"}},
		"both":                 {map[string]string{"f.go": header + plain + "type F struct{}\nfunc New() *F { return nil }\nfunc (*F) Handle(w http.ResponseWriter, r *http.Request) {}\n"}, []string{"f.go:13: New and f.go:11: Handle are both handlers"}},
		"syntax":               {map[string]string{"f.go": "package f\n\nfunc Handle( {}\n"}, []string{"f.go:3:14"}},
		"two packages":         {map[string]string{"a.go": "package a\n", "b.go": "package b\n"}, []string{"a (a.go) and b (b.go)"}},
		"a broken go.mod":      {map[string]string{"go.mod": "module\n", "f.go": header + plain}, []string{"go.mod:1"}},
		"a name that we need":  {map[string]string{"f.go": header + plain, mainFolder + "/x.go": "package x\n"}, []string{mainFolder + " is a name that the build needs"}},
		"a Go nobody has made": {map[string]string{"go.mod": "module example.com/f\n\ngo 1.999\n", "f.go": header + plain}, []string{"requires go >= 1.999"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, own := c.files["go.mod"]; !own {
				c.files["go.mod"] = goMod
			}
			lay(t, c.files)
			shape, err := run(sources)
			if err == nil {
				t.Fatalf("taken as %q", shape)
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is not in: %v", word, err)
				}
			}
		})
	}
}

// What the syntax does not tell, the compiler does, at the author's line and not in a generated file.
func TestCompilersErrorsNameTheAuthorsLines(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		words []string
	}{
		"alias of another type": {map[string]string{"f.go": header + "type R = string\n\nfunc Handle(w http.ResponseWriter, r R) {}\n"}, []string{"f.go:13"}},
		"elsewhere, no method":  {map[string]string{"f.go": "package f\n\nimport \"strings\"\n\nfunc New() *strings.Builder { return nil }\n"}, []string{"f.go:5", "Handle"}},
		"in the author's code":  {map[string]string{"f.go": header + plain + "\nvar x int = \"s\"\n"}, []string{"./f.go:13:13", "cannot use"}},
		"a missing package":     {map[string]string{"f.go": "package f\n\nimport (\n\t\"net/http\"\n\n\t_ \"conformance.example/missing\"\n)\n\n" + plain}, []string{"f.go:6:2", "conformance.example/missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.files["go.mod"] = goMod
			lay(t, c.files)
			t.Setenv("GOPROXY", "off")
			if _, err := run(sources); err != nil {
				t.Fatal(err)
			}
			out, err := compile(t)
			if err == nil {
				t.Fatal("it compiles")
			}
			for _, word := range c.words {
				if !strings.Contains(out, word) {
					t.Errorf("%q is not in: %s", word, out)
				}
			}
			if strings.Contains(out, mainFolder+"/main.go") {
				t.Errorf("a generated file is named: %s", out)
			}
		})
	}
}

func TestHookThatDoesNotFitIsWarnedOf(t *testing.T) {
	lay(t, map[string]string{"go.mod": goMod, "f.go": header + "type F struct{}\nfunc New() *F { return nil }\n" +
		"func (*F) Handle(w http.ResponseWriter, r *http.Request) {}\nfunc (*F) Start() {}\nfunc (*F) Stop(ctx context.Context) error { return nil }\n"})
	p, err := load()
	if err != nil {
		t.Fatal(err)
	}
	found, err := p.decide()
	if err != nil {
		t.Fatal(err)
	}
	if len(found.warnings) != 1 || !strings.Contains(found.warnings[0], "f.go:14: Start takes ()") {
		t.Fatal(found.warnings)
	}
}

// The early package closes the descriptors before an author's init runs, also one of a module whose path sorts first.
func TestDescriptorsAreClosedBeforeAnAuthorsInit(t *testing.T) {
	for _, module := range []string{"a.example/f", "zz.example/f"} {
		t.Run(module, func(t *testing.T) {
			lay(t, map[string]string{
				"go.mod":  "module " + module + "\n\ngo 1.24\n",
				"f.go":    "package f\n\nimport (\n\t\"net/http\"\n\n\t_ \"" + module + "/a\"\n)\n\n" + plain,
				"a/a.go":  "package a\n\nimport (\n\t\"os\"\n\t\"os/exec\"\n)\n\nfunc init() {\n\tout, err := exec.Command(\"/bin/sh\", \"-c\", `for f in /proc/$$/fd/*; do readlink \"$f\"; done; true`).CombinedOutput()\n\tif err != nil {\n\t\tpanic(err)\n\t}\n\tos.Stdout.Write(out)\n\tos.Exit(0)\n}\n",
				"b/b.txt": "",
			})
			if _, err := run(sources); err != nil {
				t.Fatal(err)
			}
			if out, err := compile(t); err != nil {
				t.Fatal(out)
			}
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			defer w.Close()
			program := exec.Command("./function")
			program.ExtraFiles = []*os.File{r, w} // 3 and 4
			out, err := program.Output()
			if err != nil {
				t.Fatal(err)
			}
			for _, end := range []*os.File{r, w} {
				link, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", end.Fd()))
				if err != nil {
					t.Fatal(err)
				}
				if len(out) == 0 || strings.Contains(string(out), link) {
					t.Fatalf("an author's child has %s: %s", link, out)
				}
			}
			var line [100]byte
			n, _ := r.Read(line[:])
			if string(line[:n]) != "{\"phase\":\"runtime\"}\n" {
				t.Fatalf("%q", line[:n])
			}
		})
	}
}
