module skerry.dev/shim

go 1.24
