package main

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// decision is the handler that was chosen.
type decision struct {
	instance bool   // New, else Handle
	at       string // file:line of it, for the compiler's errors
	warnings []string
}

// decide chooses between Handle and New, or says why neither fits.
func (p *project) decide() (*decision, error) {
	handle, hasHandle := p.functions["Handle"]
	construct, hasNew := p.functions["New"]
	var newError error
	if hasNew {
		newError = p.checkNew(construct)
	}
	switch {
	case hasHandle && hasNew && newError == nil:
		return nil, fmt.Errorf("%s: New and %s: Handle are both handlers; leave one of them, or rename it", p.at(construct.declaration), p.at(handle.declaration))
	case hasHandle:
		// A New that does not fit is a helper of the author's.
		if fault := p.signatureFault(handle.declaration.Type, handle.in, handleParameters); fault != "" {
			return nil, p.wrong(handle.declaration, "Handle", fault)
		}
		return &decision{at: p.at(handle.declaration)}, nil
	case hasNew && newError != nil:
		return nil, newError
	case hasNew:
		return &decision{instance: true, at: p.at(construct.declaration), warnings: p.hookWarnings(construct)}, nil
	}
	slices.Sort(p.exported)
	has := "exports no function"
	if len(p.exported) > 0 {
		has = "exports " + strings.Join(p.exported, ", ")
	}
	return nil, fmt.Errorf("package %s has neither func Handle nor func New (it %s), and is not package main; %s", p.name, has, accepted)
}

func (p *project) wrong(node ast.Node, name, fault string) error {
	return fmt.Errorf("%s: %s %s; %s", p.at(node), name, fault, accepted)
}

// checkNew says what keeps New from being a constructor of handlers.
func (p *project) checkNew(construct function) error {
	declaration := construct.declaration
	signature := declaration.Type
	switch {
	case signature.TypeParams != nil:
		return p.wrong(declaration, "New", "has type parameters")
	case signature.Params.NumFields() != 0:
		return p.wrong(declaration, "New", fmt.Sprintf("takes %d parameters, it must take none", signature.Params.NumFields()))
	case signature.Results.NumFields() != 1:
		return p.wrong(declaration, "New", fmt.Sprintf("returns %d values, it must return one", signature.Results.NumFields()))
	}
	result := signature.Results.List[0].Type
	name := typeName(result)
	if method, ok := p.methods[name]["Handle"]; ok {
		if fault := p.signatureFault(method.declaration.Type, method.in, handleParameters); fault != "" {
			return p.wrong(method.declaration, name+".Handle", fault)
		}
		return nil
	}
	spec := p.types[name]
	if spec == nil {
		if isPredeclared(name) {
			return p.wrong(declaration, "New", fmt.Sprintf("returns %s, which has no method Handle", name))
		}
		return nil // of another package, or a dot import: the compiler knows
	}
	if structure, ok := spec.Type.(*ast.StructType); ok && !embeds(structure.Fields) {
		return p.wrong(declaration, "New", fmt.Sprintf("returns %s (%s), which has no method Handle", name, p.at(spec)))
	}
	return nil
}

func embeds(fields *ast.FieldList) bool {
	return slices.ContainsFunc(fields.List, func(f *ast.Field) bool { return len(f.Names) == 0 })
}

// hookWarnings names hooks that would silently never be called.
func (p *project) hookWarnings(construct function) []string {
	hooks := []struct {
		name   string
		shapes [][]parameter
		want   string
	}{
		{"Start", [][]parameter{{contextParameter, mapParameter}}, "Start(ctx context.Context, cfg map[string]string) error"},
		{"Stop", [][]parameter{{contextParameter}}, "Stop(ctx context.Context) error"},
	}
	var warnings []string
	methods := p.methods[typeName(construct.declaration.Type.Results.List[0].Type)]
	for _, hook := range hooks {
		method, ok := methods[hook.name]
		if !ok {
			continue
		}
		signature := *method.declaration.Type
		if results := signature.Results; results.NumFields() == 1 && typeName(results.List[0].Type) == "error" {
			signature.Results = nil
		}
		if fault := p.signatureFault(&signature, method.in, hook.shapes); fault != "" {
			warnings = append(warnings, fmt.Sprintf("%s: %s %s, so it is never called; it would be as %s", p.at(method.declaration), hook.name, fault, hook.want))
		}
	}
	return warnings
}

// parameter is a type that a signature may have at one place.
type parameter struct {
	path, name string // of a named type; path "" for the map
	pointer    bool
}

var (
	contextParameter = parameter{path: "context", name: "Context"}
	writerParameter  = parameter{path: "net/http", name: "ResponseWriter"}
	requestParameter = parameter{path: "net/http", name: "Request", pointer: true}
	mapParameter     = parameter{name: "map[string]string"}
	handleParameters = [][]parameter{{writerParameter, requestParameter}, {contextParameter, writerParameter, requestParameter}}
)

// signatureFault says in what a function is none of the shapes; "" where it is one, or may be one for all that its syntax tells.
func (p *project) signatureFault(signature *ast.FuncType, in *source, shapes [][]parameter) string {
	if signature.TypeParams != nil {
		return "has type parameters"
	}
	if n := signature.Results.NumFields(); n != 0 {
		return fmt.Sprintf("returns %s, it must return nothing", plural(n, "value"))
	}
	given := flatten(signature.Params)
	for _, shape := range shapes {
		if len(shape) == len(given) && !slices.ContainsFunc(indices(shape), func(i int) bool { return !shape[i].maybe(given[i], in) }) {
			return ""
		}
	}
	texts := make([]string, len(given))
	for i, expression := range given {
		texts[i] = p.text(expression)
	}
	return fmt.Sprintf("takes (%s)", strings.Join(texts, ", "))
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}

func indices[T any](of []T) []int {
	all := make([]int, len(of))
	for i := range all {
		all[i] = i
	}
	return all
}

// flatten gives each parameter its type: a, b T are two.
func flatten(fields *ast.FieldList) []ast.Expr {
	var all []ast.Expr
	for _, field := range fields.List {
		for range max(1, len(field.Names)) {
			all = append(all, field.Type)
		}
	}
	return all
}

// maybe is false only where the expression is certainly another type. A bare name may be an alias or come from a dot import: the compiler decides.
func (want parameter) maybe(expression ast.Expr, in *source) bool {
	if want.path == "" {
		mapping, ok := expression.(*ast.MapType)
		return ok && typeName(mapping.Key) == "string" && typeName(mapping.Value) == "string" || bareName(expression)
	}
	star, pointer := expression.(*ast.StarExpr)
	if pointer {
		expression = star.X
	}
	if selector, ok := expression.(*ast.SelectorExpr); ok {
		local, _ := selector.X.(*ast.Ident)
		return local != nil && in.imports[local.Name] == want.path && selector.Sel.Name == want.name && pointer == want.pointer
	}
	return bareName(expression) && (!pointer || want.pointer)
}

func bareName(expression ast.Expr) bool {
	name, ok := expression.(*ast.Ident)
	return ok && !isPredeclared(name.Name)
}
