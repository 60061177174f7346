package shim

import "bufio"

// bufioReadWriter is what http.Hijacker gives beside the connection.
type bufioReadWriter = bufio.ReadWriter
