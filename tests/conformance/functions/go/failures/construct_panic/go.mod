module example.com/conformance/construct_panic

go 1.24
