module skerry.dev/generate

go 1.24
