module example.com/conformance/start_exception

go 1.24
