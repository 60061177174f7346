module example.com/conformance/handle

go 1.24
