package shim

import (
	"bytes"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

// What the shim writes itself, or what a status does not have, as net/http has it.
var (
	framing     = map[string]bool{"Content-Length": true, "Transfer-Encoding": true}
	notModified = map[string]bool{"Content-Length": true, "Transfer-Encoding": true, "Content-Type": true}
)

// answerHead is what the header map said when the author set the status. Later changes of the map are trailers at most.
type answerHead struct {
	status   int
	text     bytes.Buffer // status line and header lines, without framing
	length   int64        // that the author announced; -1 else
	sniff    bool         // there is no type, so the body's first bytes tell it
	trailers []string     // that the author announced
	closes   bool         // the author wants the connection closed
}

func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

func (h *answerHead) set(status int, header http.Header) {
	h.status = status
	h.length = -1
	if bodyAllowed(status) || status == http.StatusNotModified {
		if n, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64); err == nil && n >= 0 {
			h.length = n
		}
	}
	exclude := framing
	if status == http.StatusNotModified {
		exclude = notModified
	}
	h.statusLine(status)
	_ = header.WriteSubset(&h.text, exclude) // a buffer takes all
	if _, has := header["Date"]; !has {
		h.text.WriteString("Date: ")
		h.text.Write(time.Now().UTC().AppendFormat(h.text.AvailableBuffer(), http.TimeFormat))
		h.text.WriteString("\r\n")
	}
	_, typed := header["Content-Type"]
	h.sniff = !typed && bodyAllowed(status) && header.Get("Content-Encoding") == ""
	h.closes = status == http.StatusSwitchingProtocols // a Hijack comes before the end, else there is nothing to say in another protocol
	for _, value := range header["Connection"] {
		h.closes = h.closes || strings.EqualFold(strings.TrimSpace(value), "close")
	}
	for _, value := range header["Trailer"] {
		for _, name := range strings.Split(value, ",") {
			switch name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)); name {
			case "", "Transfer-Encoding", "Content-Length", "Trailer": // never trailers
			default:
				h.trailers = append(h.trailers, name)
			}
		}
	}
}

func (h *answerHead) statusLine(status int) {
	reason := http.StatusText(status)
	if reason == "" {
		reason = "status code " + strconv.Itoa(status)
	}
	h.text.WriteString("HTTP/1.1 " + strconv.Itoa(status) + " " + reason + "\r\n")
}

// finish adds the lines that were not known before the first byte is sent: body is the first of it, length what is announced (-1: nothing is).
func (h *answerHead) finish(out []byte, body []byte, length int64, chunked, closing bool) []byte {
	out = append(out, h.text.Bytes()...)
	if h.sniff && len(body) > 0 {
		out = append(out, "Content-Type: "...)
		out = append(out, http.DetectContentType(body)...)
		out = append(out, "\r\n"...)
	}
	switch {
	case chunked:
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	case length >= 0:
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, length, 10)
		out = append(out, "\r\n"...)
	}
	if closing && !h.closes {
		out = append(out, "Connection: close\r\n"...)
	}
	return append(out, "\r\n"...)
}

// lastChunk ends a chunked body, with the trailers that the header map has now.
func (h *answerHead) lastChunk(out []byte, header http.Header) []byte {
	trailers := http.Header{}
	for _, name := range h.trailers {
		if values, has := header[name]; has {
			trailers[name] = values
		}
	}
	for name, values := range header {
		if after, is := strings.CutPrefix(name, http.TrailerPrefix); is {
			trailers[textproto.CanonicalMIMEHeaderKey(after)] = values
		}
	}
	out = append(out, "0\r\n"...)
	if len(trailers) > 0 {
		var text bytes.Buffer
		_ = trailers.Write(&text)
		out = append(out, text.Bytes()...)
	}
	return append(out, "\r\n"...)
}

// hasTrailers is asked when the answer ends: a length cannot be announced beside them.
func (h *answerHead) hasTrailers(header http.Header) bool {
	if len(h.trailers) > 0 {
		return true
	}
	for name := range header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return true
		}
	}
	return false
}
