package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// source is one file of the package, with the names that it gives its imports.
type source struct {
	syntax  *ast.File
	imports map[string]string // local name -> import path; "." for dot imports of net/http
}

// project is the package at the top of a module, as far as its syntax tells.
type project struct {
	name, module string

	files     *token.FileSet
	texts     map[string][]byte
	functions map[string]function
	types     map[string]*ast.TypeSpec
	methods   map[string]map[string]function // type -> name -> method
	exported  []string
}

type function struct {
	declaration *ast.FuncDecl
	in          *source
}

// listed is what `go list` says of the package at the top.
type listed struct {
	Name    string
	GoFiles []string
	Module  struct{ Path string }
	Error   struct{ Err string }
}

// list asks go itself: it knows build constraints, and what is wrong with a go.mod. (go/build knows the former too, but is compiled anew in each build.)
func list() (*listed, error) {
	out, err := exec.Command("go", "list", "-e", "-find", "-json=Name,GoFiles,Module,Error", ".").Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return nil, errors.New(strings.TrimSpace(string(failed.Stderr)))
	}
	if err != nil {
		return nil, err
	}
	var l listed
	if err := json.Unmarshal(out, &l); err != nil {
		return nil, fmt.Errorf("what `go list` says: %w", err)
	}
	return &l, nil
}

// load parses those files at the top that a build for this machine takes.
func load() (*project, error) {
	l, err := list()
	if err != nil {
		return nil, err
	}
	if len(l.GoFiles) == 0 && (l.Error.Err == "" || strings.Contains(l.Error.Err, "no Go files") || strings.Contains(l.Error.Err, "exclude all Go files")) {
		return nil, fmt.Errorf("no Go package at the top of the project: %s", accepted)
	}
	p := &project{
		name: l.Name, module: l.Module.Path, files: token.NewFileSet(), texts: map[string][]byte{},
		functions: map[string]function{}, types: map[string]*ast.TypeSpec{}, methods: map[string]map[string]function{},
	}
	for _, name := range l.GoFiles {
		if p.texts[name], err = os.ReadFile(name); err != nil {
			return nil, err
		}
		syntax, err := parser.ParseFile(p.files, name, p.texts[name], parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.add(&source{syntax: syntax, imports: importsOf(syntax)})
	}
	if l.Error.Err != "" {
		return nil, errors.New(l.Error.Err)
	}
	return p, nil
}

func importsOf(file *ast.File) map[string]string {
	imports := map[string]string{}
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = path
	}
	return imports
}

func (p *project) add(file *source) {
	for _, declaration := range file.syntax.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				p.functions[d.Name.Name] = function{d, file}
				if d.Name.IsExported() {
					p.exported = append(p.exported, d.Name.Name)
				}
			} else if name := typeName(d.Recv.List[0].Type); name != "" {
				if p.methods[name] == nil {
					p.methods[name] = map[string]function{}
				}
				p.methods[name][d.Name.Name] = function{d, file}
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if t, ok := spec.(*ast.TypeSpec); ok {
					p.types[t.Name.Name] = t
				}
			}
		}
	}
}

// typeName is T of T, *T, T[X] and *T[X]; "" for anything else.
func typeName(expression ast.Expr) string {
	switch e := expression.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return typeName(e.X)
	case *ast.ParenExpr:
		return typeName(e.X)
	case *ast.IndexExpr:
		return typeName(e.X)
	case *ast.IndexListExpr:
		return typeName(e.X)
	}
	return ""
}

func (p *project) at(node ast.Node) string {
	position := p.files.Position(node.Pos())
	return fmt.Sprintf("%s:%d", position.Filename, position.Line)
}

// text is an expression as the author wrote it.
func (p *project) text(expression ast.Expr) string {
	begin, end := p.files.Position(expression.Pos()), p.files.Position(expression.End())
	return string(p.texts[begin.Filename][begin.Offset:end.Offset])
}

// isPredeclared is true of the type names that every Go file has.
func isPredeclared(name string) bool {
	switch name {
	case "any", "bool", "byte", "comparable", "complex64", "complex128", "error", "float32", "float64", "int", "int8", "int16", "int32", "int64",
		"rune", "string", "uint", "uint8", "uint16", "uint32", "uint64", "uintptr":
		return true
	}
	return false
}
