module example.com/conformance/new

go 1.24
