package shim

import (
	"os"
	"strings"
	"unicode/utf8"
)

const (
	statusDescriptor = 4
	// A status line is at most 4 KB. Escaping makes a byte six at most.
	maxMessageBytes = 600
)

// status is the write end of the platform's status pipe: one line of JSON a phase, then closed.
type status struct{ pipe *os.File }

func openStatus() *status { return &status{os.NewFile(statusDescriptor, "status")} }

func (s *status) phase(name string) {
	// Nobody reading is no reason to fail: the function may be run by hand.
	_, _ = s.pipe.WriteString(`{"phase":"` + name + "\"}\n")
}

// say reports a start that failed, in one line that a caller of the function may see.
func (s *status) say(message string) {
	message, _, _ = strings.Cut(message, "\n")
	message = strings.ToValidUTF8(message, "\uFFFD")
	if len(message) > maxMessageBytes {
		cut := maxMessageBytes
		for !utf8.RuneStart(message[cut]) {
			cut--
		}
		message = message[:cut]
	}
	_, _ = s.pipe.WriteString(`{"error":"start_failed","message":` + quote(message) + "}\n")
}

// fail says why the start failed, to the platform and to the log, and ends the process.
func (s *status) fail(message string) {
	_, _ = os.Stderr.WriteString(message + "\n")
	s.say(message)
	os.Exit(1)
}

func (s *status) close() { _ = s.pipe.Close() }

// quote writes a JSON string. encoding/json would cost each function's start the set-up of reflection, for this one string.
func quote(text string) string {
	const hex = "0123456789abcdef"
	out := make([]byte, 0, len(text)+2)
	out = append(out, '"')
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r < 0x20 || r == 0x7f:
			out = append(out, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			out = utf8.AppendRune(out, r)
		}
	}
	return string(append(out, '"'))
}
