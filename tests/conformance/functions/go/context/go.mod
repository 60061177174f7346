module example.com/conformance/context

go 1.24
