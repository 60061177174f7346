'use strict';

// One connection from the platform: reads heads, feeds bodies, writes answers, and decides when to close. What a request means is the shape's business
// (fetch.js, handle.js), which gets an Exchange. Made by server.js for each accept; owns the socket.
//
// Why not node:http: on the same machine its first answer after exec is 5 ms later, its second request 1.5 ms slower, and a warm request costs 2.3 times the CPU
// (README.md, Numbers); and it decides itself what a half-closed connection means.

const { RequestBody } = require('./body.js');
const { ERROR_HEADERS, errorBody, printTrace } = require('./failures.js');
const { HEAD_MAX_BYTES, answerHead, checkHeaders, decoderFor, isBodiless, parseHead } = require('./http1.js');

// An unread body up to this is read and forgotten, so that the connection can go on; a longer one costs more than a new connection.
const DRAIN_MAX_BYTES = 64 * 1024;
// Bytes of a next request that came early: the platform sends one at a time, so this is only so that a broken one cannot fill memory.
const EARLY_MAX_BYTES = 64 * 1024;
// Below this, head and body are joined into one string or buffer: copying is cheaper than a second element of writev.
const JOIN_MAX_BYTES = 16 * 1024;

const NOTHING = Buffer.alloc(0);
// eslint-disable-next-line no-control-regex
const NOT_ASCII = /[^\0-\x7f]/;

class Connection {
  constructor(server, socket) {
    this._server = server;
    this._socket = socket;
    this._exchange = null;
    this._decoder = null;
    this._early = NOTHING; // bytes of the next head
    this._draining = -1; // how much of an unread body may still come; -1 while no body is drained
    this._closed = false;
    socket.on('data', (bytes) => this._data(bytes));
    socket.on('end', () => this._callerGone());
    socket.on('error', () => this._callerGone());
    socket.on('close', () => this._socketClosed());
  }

  // Reading

  _data(bytes) {
    if (this._decoder !== null && !this._decoder.done) this._body(bytes);
    else this._nextHead(bytes);
  }

  _nextHead(bytes) {
    const buffer = this._early.length === 0 ? bytes : Buffer.concat([this._early, bytes]);
    this._early = buffer;
    if (this._exchange !== null) {
      if (buffer.length > EARLY_MAX_BYTES) this._socket.destroy();
      return;
    }
    if (buffer.length === 0) return;
    const end = buffer.indexOf('\r\n\r\n', 0, 'latin1');
    if (end > HEAD_MAX_BYTES || (end < 0 && buffer.length > HEAD_MAX_BYTES)) return this._refuse(431);
    if (end < 0) return;
    const head = parseHead(buffer.latin1Slice(0, end));
    if (head === null) return this._refuse(400);
    this._early = NOTHING;
    this._begin(head, buffer.subarray(end + 4));
  }

  _begin(head, rest) {
    const exchange = new Exchange(this, this._socket, this._server, head);
    this._exchange = exchange;
    this._decoder = decoderFor(head);
    if (this._decoder.done) {
      exchange.body.end();
      this._early = rest;
    } else if (rest.length > 0) {
      this._body(rest);
      if (this._closed) return;
    }
    this._run(exchange);
  }

  async _run(exchange) {
    try {
      await this._server.shape.answer(exchange);
      if (!exchange.headSent && !exchange.gone) throw new TypeError('the handler is over and has answered nothing');
      exchange.finish();
    } catch (error) {
      exchange.fail(error);
    }
    this._over(exchange);
  }

  _body(bytes) {
    const body = this._exchange.body;
    const rest = this._decoder.feed(bytes, (piece) => {
      if (this._draining >= 0) this._draining -= piece.length;
      body.push(piece);
    });
    if (rest === null) {
      // Not what the platform sends. The handler learns of it as of a caller who went away in the middle.
      this._early = NOTHING;
      this._socket.destroy();
      this._callerGone();
      return;
    }
    if (this._decoder.done) {
      body.end();
      this._early = rest;
      if (this._draining >= 0) this._next();
    } else if (this._draining >= 0) {
      if (this._drainLeft() < 0) this._close();
    } else if (!body.wantsMore) {
      this._socket.pause();
    }
  }

  readOn() {
    if (!this._closed && this._socket.isPaused()) this._socket.resume();
  }

  // The end of an exchange

  // The handler has returned and its answer is written (or could not be).
  _over(exchange) {
    exchange.over = true;
    if (this._closed) return;
    exchange.body.discard();
    if (exchange.gone) return this._drop();
    if (exchange.broken || exchange.closes) return this._close();
    if (this._decoder.done) return this._next();
    this._draining = DRAIN_MAX_BYTES;
    if (this._drainLeft() < 0) this._close();
    else this.readOn();
  }

  _drainLeft() {
    return this._draining - this._decoder.left;
  }

  _next() {
    this._exchange = null;
    this._decoder = null;
    this._draining = -1;
    if (this._server.stopping) return this._close();
    this.readOn();
    if (this._early.length > 0) {
      const early = this._early;
      this._early = NOTHING;
      this._nextHead(early);
    }
  }

  _callerGone() {
    const exchange = this._exchange;
    if (exchange === null || exchange.over) return this._close();
    exchange.callerGone();
  }

  _refuse(status) {
    this._socket.write(answerHead(status, '', 0, true), 'latin1');
    this._close();
  }

  closeIfIdle() {
    if (this._exchange === null && this._early.length === 0) this._close(); // half a head is a request in progress
  }

  // After what was written went out. What still comes is not for anyone.
  _close() {
    if (this._socket.destroyed) return this._socketClosed();
    this._socket.destroySoon();
  }

  // At once: nobody reads what is not written yet.
  _drop() {
    if (this._socket.destroyed) return this._socketClosed();
    this._socket.destroy();
  }

  _socketClosed() {
    if (this._closed) return;
    // The handler may still run: the connection counts as open until it has returned, so that a stop waits for it.
    const exchange = this._exchange;
    if (exchange !== null && !exchange.over) {
      exchange.callerGone();
      return;
    }
    this._closed = true;
    this._server.closed(this);
  }
}

// One request and its answer, as a shape sees them.
class Exchange {
  constructor(connection, socket, server, head) {
    this._socket = socket;
    this._server = server;
    this.head = head;
    this.body = new RequestBody(() => connection.readOn());
    this.gone = false; // the caller went away: what is written from now on goes nowhere
    this.onGone = null;
    this.headSent = false;
    this.over = false;
    this.broken = false; // the answer ends before its end
    this.closes = false;
    this._chunked = false;
    this._bodiless = false;
    this._left = 0; // bytes that content-length promises
  }

  // A whole answer. `body` is a string or bytes; `headers` is flat.
  send(status, headers, body) {
    const { lines, length } = checkHeaders(headers);
    const size = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    const bodiless = isBodiless(this.head.method, status);
    if (!bodiless && length >= 0 && length !== size) throw new TypeError(`content-length is ${length}, and the body has ${size} bytes`);
    this._sendsHead(bodiless);
    if (this.gone) return;
    // 204 has no length by definition; 304's is that of the answer it stands for, which only the author knows.
    const framing = status === 204 ? null : status === 304 ? (length >= 0 ? length : null) : bodiless && length >= 0 ? length : size;
    const head = answerHead(status, lines, framing, this.closes);
    if (bodiless || size === 0) return void this._socket.write(head, 'latin1');
    if (typeof body === 'string' && size <= JOIN_MAX_BYTES && !NOT_ASCII.test(head)) return void this._socket.write(head + body, 'utf8');
    this._socket.cork();
    this._socket.write(head, 'latin1');
    if (typeof body === 'string') this._socket.write(body, 'utf8');
    else this._socket.write(body);
    this._socket.uncork();
  }

  // The head of an answer that is written piece by piece: with the author's content-length, else chunked. Returns false where no body follows.
  begin(status, headers) {
    const { lines, length } = checkHeaders(headers);
    this._sendsHead(isBodiless(this.head.method, status));
    this._chunked = !this._bodiless && length < 0;
    this._left = this._bodiless || this._chunked ? 0 : length;
    const framing = status === 204 ? null : length >= 0 ? length : this._chunked ? 'chunked' : null;
    if (!this.gone) this._socket.write(answerHead(status, lines, framing, this.closes), 'latin1');
    return !this._bodiless;
  }

  _sendsHead(bodiless) {
    this.headSent = true;
    this._bodiless = bodiless;
    this.closes = this._server.stopping;
  }

  // Sends a piece at once. Resolves when there is room for the next, or nobody to send it to.
  async write(bytes) {
    if (bytes.length === 0 || this._bodiless) return;
    if (!this._chunked && bytes.length > this._left) throw new TypeError(`the answer is ${bytes.length - this._left} bytes longer than its content-length`);
    if (!this._chunked) this._left -= bytes.length;
    if (this.gone) return;
    let room;
    if (this._chunked) {
      this._socket.cork();
      this._socket.write(`${bytes.length.toString(16)}\r\n`, 'latin1');
      this._socket.write(bytes);
      room = this._socket.write('\r\n', 'latin1');
      this._socket.uncork();
    } else {
      room = this._socket.write(bytes);
    }
    if (room && !this._socket.writableNeedDrain) return;
    await new Promise((resolve) => {
      const on = () => {
        this._socket.off('drain', on).off('close', on).off('end', on);
        resolve();
      };
      this._socket.on('drain', on).on('close', on).on('end', on);
    });
  }

  // After the last piece.
  finish() {
    if (this.gone) return;
    if (this._chunked) this._socket.write('0\r\n\r\n', 'latin1');
    else if (this._left > 0) {
      this.broken = true;
      printTrace(new TypeError(`the answer is ${this._left} bytes shorter than its content-length`));
    }
  }

  // The author's code threw. The caller gets a 500 without details where the head is not out yet, else the connection ends early.
  fail(error) {
    // What a handler throws because its caller went away is no failure of it.
    if (!(this.gone && error && error.name === 'AbortError')) printTrace(error);
    if (this.headSent || this.gone) {
      this.broken = true;
      return;
    }
    this.send(500, ERROR_HEADERS, errorBody(this.head.requestId));
  }

  callerGone() {
    if (this.gone) return;
    this.gone = true;
    this.body.abort();
    if (this.onGone !== null) this.onGone();
  }
}

module.exports = { Connection };
