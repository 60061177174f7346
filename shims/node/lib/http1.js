'use strict';

// HTTP/1.1 heads in and out, and bodies out of their framing; no I/O. Used by connection.js only.
//
// The platform has checked and rewritten the framing (shims/README.md), so this is small and strict: what the platform would not send is refused, and so are
// answer headers that would let an author's data become a second answer.

// The contract's header block is 64 KB; the platform adds forwarding headers of its own.
const HEAD_MAX_BYTES = 96 * 1024;
const LENGTH_DIGITS_MAX = 15; // below 2^53
const CHUNK_LINE_MAX_BYTES = 16;
const TRAILERS_MAX_BYTES = 8 * 1024;

const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
// Controls, a bare CR or LF, and a folded line, anywhere in a head.
// eslint-disable-next-line no-control-regex
const NOT_IN_HEAD = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|(?<!\r)\n|\r\n[ \t]/;
// eslint-disable-next-line no-control-regex
const NOT_IN_VALUE = /[^\t\x20-\x7e\x80-\xff]/;

// Ours to decide: what an author says about the connection or the chunks is not passed on.
const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'te', 'trailer']);

const REASONS = {
  200: 'OK', 201: 'Created', 202: 'Accepted', 203: 'Non-Authoritative Information', 204: 'No Content', 205: 'Reset Content', 206: 'Partial Content',
  300: 'Multiple Choices', 301: 'Moved Permanently', 302: 'Found', 303: 'See Other', 304: 'Not Modified', 307: 'Temporary Redirect', 308: 'Permanent Redirect',
  400: 'Bad Request', 401: 'Unauthorized', 402: 'Payment Required', 403: 'Forbidden', 404: 'Not Found', 405: 'Method Not Allowed', 406: 'Not Acceptable',
  408: 'Request Timeout', 409: 'Conflict', 410: 'Gone', 411: 'Length Required', 412: 'Precondition Failed', 413: 'Content Too Large', 414: 'URI Too Long',
  415: 'Unsupported Media Type', 416: 'Range Not Satisfiable', 418: "I'm a Teapot", 421: 'Misdirected Request', 422: 'Unprocessable Content', 425: 'Too Early',
  426: 'Upgrade Required', 428: 'Precondition Required', 429: 'Too Many Requests', 431: 'Request Header Fields Too Large', 451: 'Unavailable For Legal Reasons',
  500: 'Internal Server Error', 501: 'Not Implemented', 502: 'Bad Gateway', 503: 'Service Unavailable', 504: 'Gateway Timeout',
};

// A request head. `headers` is flat: name, value, name, value, lower-case names, in order, repeated ones repeated.
class RequestHead {
  constructor(method, target) {
    this.method = method;
    this.target = target;
    this.headers = [];
    this.length = 0; // of the body; -1 where it is chunked
    this.requestId = '';
  }

  first(name) {
    const at = this.headers.findIndex((text, index) => index % 2 === 0 && text === name);
    return at < 0 ? undefined : this.headers[at + 1];
  }
}

// The head in `text` (latin1, without its empty last line), or null for what the platform would never send.
function parseHead(text) {
  if (NOT_IN_HEAD.test(text)) return null;
  const lines = text.split('\r\n');
  const words = lines[0].split(' ');
  if (words.length !== 3 || words[2] !== 'HTTP/1.1' || words[1] === '' || !TOKEN.test(words[0])) return null;
  const head = new RequestHead(words[0], words[1]);
  let framings = 0;
  for (let i = 1; i < lines.length; i++) {
    const colon = lines[i].indexOf(':');
    if (colon <= 0) return null;
    const name = lines[i].slice(0, colon).toLowerCase();
    if (!TOKEN.test(name)) return null;
    const value = lines[i].slice(colon + 1).trim();
    head.headers.push(name, value);
    if (name === 'content-length') {
      if (!/^[0-9]+$/.test(value) || value.length > LENGTH_DIGITS_MAX) return null;
      framings++;
      head.length = Number(value);
    } else if (name === 'transfer-encoding') {
      if (value.toLowerCase() !== 'chunked') return null;
      framings++;
      head.length = -1;
    } else if (name === 'x-request-id') {
      head.requestId = value;
    }
  }
  return framings > 1 ? null : head;
}

// Both decoders: feed(bytes, take) calls take() with pieces of the body and returns what follows the body's end (only once `done`), or null for bytes that are
// no body. `left` is how many bytes are known to be missing.
class LengthDecoder {
  constructor(length) {
    this.left = length;
    this.done = length === 0;
  }

  feed(bytes, take) {
    const piece = bytes.length > this.left ? bytes.subarray(0, this.left) : bytes;
    this.left -= piece.length;
    this.done = this.left === 0;
    if (piece.length > 0) take(piece);
    return bytes.subarray(piece.length);
  }
}

class ChunkedDecoder {
  constructor() {
    this.left = 0;
    this.done = false;
    this._state = 'size';
    this._line = ''; // of which the rest has not come
    this._trailers = 0;
  }

  feed(bytes, take) {
    let at = 0;
    while (at < bytes.length && !this.done) {
      if (this._state === 'data') {
        const piece = bytes.subarray(at, at + this.left);
        at += piece.length;
        this.left -= piece.length;
        if (this.left === 0) this._state = 'end';
        take(piece);
        continue;
      }
      const end = bytes.indexOf(10, at);
      this._line += bytes.latin1Slice(at, end < 0 ? bytes.length : end + 1);
      if (this._line.length > (this._state === 'trailers' ? TRAILERS_MAX_BYTES : CHUNK_LINE_MAX_BYTES)) return null;
      if (end < 0) return bytes.subarray(bytes.length);
      at = end + 1;
      if (!this._endLine()) return null;
    }
    return bytes.subarray(at);
  }

  _endLine() {
    const line = this._line.slice(0, -2);
    if (!this._line.endsWith('\r\n')) return false;
    this._line = '';
    if (this._state === 'size') {
      // Extensions are refused: the platform sends none.
      if (!/^[0-9a-fA-F]{1,13}$/.test(line)) return false;
      this.left = parseInt(line, 16);
      this._state = this.left > 0 ? 'data' : 'trailers';
    } else if (this._state === 'end') {
      if (line !== '') return false;
      this._state = 'size';
    } else {
      this._trailers += line.length;
      if (this._trailers > TRAILERS_MAX_BYTES) return false;
      this.done = line === '';
    }
    return true;
  }
}

function decoderFor(head) {
  return head.length < 0 ? new ChunkedDecoder() : new LengthDecoder(head.length);
}

// Answers

function isBodiless(method, status) {
  return method === 'HEAD' || status === 204 || status === 304;
}

// {lines, length}: header lines as text without hop-by-hop ones, and the author's content-length or -1. Throws a TypeError for what cannot be sent.
function checkHeaders(headers) {
  let lines = '';
  let length = -1;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i].toLowerCase();
    const value = headers[i + 1];
    // SECURITY: a CR or LF in a value, or a colon in a name, would let whoever controls it add headers or a whole answer (response splitting).
    if (!TOKEN.test(name)) throw new TypeError(`not a header name: ${JSON.stringify(name)}`);
    if (NOT_IN_VALUE.test(value)) throw new TypeError(`a character that no header may have, in the value of ${JSON.stringify(name)}`);
    if (HOP_BY_HOP.has(name)) continue;
    if (name !== 'content-length') {
      lines += `${name}: ${value}\r\n`;
      continue;
    }
    const text = value.trim();
    if (!/^[0-9]+$/.test(text) || text.length > LENGTH_DIGITS_MAX || (length >= 0 && length !== Number(text))) {
      throw new TypeError(`not a content-length: ${JSON.stringify(value)}`);
    }
    length = Number(text);
  }
  return { lines, length };
}

// `framing` is a length, 'chunked', or null for neither.
function answerHead(status, lines, framing, close) {
  const framed = framing === null ? '' : framing === 'chunked' ? 'transfer-encoding: chunked\r\n' : `content-length: ${framing}\r\n`;
  return `HTTP/1.1 ${status} ${REASONS[status] || ''}\r\n${lines}${framed}${close ? 'connection: close\r\n' : ''}\r\n`;
}

module.exports = { HEAD_MAX_BYTES, parseHead, decoderFor, isBodiless, checkHeaders, answerHead };
