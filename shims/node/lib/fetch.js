'use strict';

// The shape `fetch(request, env, ctx)`: the author's code speaks the Web API, with the classes that Node.js has. Bodies stream both ways.

const { CallerGone, printTrace } = require('./failures.js');

// Node's classes cost 17 ms at first use. They are taken before ready, so that no request pays for them.
const { Request, Headers } = globalThis;

const WITHOUT_BODY = new Set(['GET', 'HEAD']);
const FORBIDDEN = new Set(['CONNECT', 'TRACE', 'TRACK']);

// `target` has fetch(). Its optional start-up and end are the module's own (top-level await; SIGTERM).
function open(target) {
  const { env } = require('../runtime/index.js');
  const background = new Set();
  return {
    answer: (exchange) => answer(target, env, background, exchange),
    stop: async () => {
      while (background.size > 0) await Promise.allSettled(background);
    },
  };
}

async function answer(target, env, background, exchange) {
  const controller = new AbortController();
  exchange.onGone = () => controller.abort(new CallerGone());
  const request = makeRequest(exchange, controller.signal);
  const response = await target.fetch(request, env, makeContext(background));
  await sendResponse(exchange, response);
}

function makeContext(background) {
  return {
    // The work goes on after the answer; a stop of the instance waits for it.
    waitUntil(promise) {
      const work = Promise.resolve(promise).catch(printTrace).finally(() => background.delete(work));
      background.add(work);
    },
  };
}

// Requests

function makeRequest(exchange, signal) {
  const { head } = exchange;
  const headers = new Headers();
  for (let i = 0; i < head.headers.length; i += 2) headers.append(head.headers[i], head.headers[i + 1]);
  const scheme = head.first('x-forwarded-proto') === 'http' ? 'http' : 'https';
  const url = `${scheme}://${head.first('host') || 'localhost'}${head.target.startsWith('/') ? head.target : `/${head.target}`}`;
  const body = exchange.body.ended && head.length === 0 ? null : bodyStream(exchange);
  const { method } = head;
  // The class refuses these; the contract says that every method and every body reaches the function.
  const refused = FORBIDDEN.has(method) || (body !== null && WITHOUT_BODY.has(method));
  const options = { method: refused ? 'POST' : method, headers, signal };
  if (body !== null) {
    options.body = body;
    options.duplex = 'half';
  }
  const request = new Request(url, options);
  if (refused) Object.defineProperty(request, 'method', { value: method, enumerable: true });
  return request;
}

function bodyStream(exchange) {
  return new ReadableStream({
    type: 'bytes',
    async pull(controller) {
      // A rejection (the caller went away) makes the stream an errored one.
      const piece = await exchange.body.take();
      if (piece === null) {
        controller.close();
        if (controller.byobRequest) controller.byobRequest.respond(0);
      } else {
        // A copy where the buffer is shared: the stream takes its memory away (transfer).
        controller.enqueue(piece.byteLength === piece.buffer.byteLength ? piece : new Uint8Array(piece));
      }
    },
  }, { highWaterMark: 0 });
}

// Answers

async function sendResponse(exchange, response) {
  if (response === null || typeof response !== 'object' || !Number.isInteger(response.status) || typeof response.headers?.forEach !== 'function') {
    throw new TypeError(`fetch(request, env, ctx) must return a Response, not ${response === null ? 'null' : typeof response}`);
  }
  const { status, body } = response;
  if (status < 200 || status > 599) throw new TypeError(`a Response of status ${status} cannot be sent`);
  const headers = [];
  response.headers.forEach((value, name) => headers.push(name, value));
  if (body === null || body === undefined) return exchange.send(status, withoutLength(headers, exchange, status), '');
  const reader = body.getReader();
  // Ends a read that waits, and tells the author's stream.
  let cancelling = null;
  const cancel = (reason) => {
    if (cancelling === null) cancelling = reader.cancel(reason).catch(() => {});
    return cancelling;
  };
  const abort = exchange.onGone;
  exchange.onGone = () => {
    abort();
    cancel(new CallerGone());
  };
  if (exchange.gone) exchange.onGone();
  try {
    await sendBody(exchange, status, headers, reader);
    // For the caller's sake (gone, HEAD), or already at its end.
    await cancel();
  } catch (error) {
    cancel(error);
    throw error;
  }
}

// A length that belongs to another answer is kept only where that is what it says (HEAD, 304).
function withoutLength(headers, exchange, status) {
  if (exchange.head.method === 'HEAD' || status === 304) return headers;
  return headers.filter((_text, index) => headers[index - (index % 2)] !== 'content-length');
}

const NOT_YET = Symbol('not yet');

// What is there without waiting is the whole body of most answers: then its length is known, and head and body go out in one write.
async function sendBody(exchange, status, headers, reader) {
  const first = ahead(reader);
  const piece = await Promise.race([first, turn()]);
  if (piece === null) return exchange.send(status, headers, '');
  const second = piece === NOT_YET ? first : ahead(reader);
  if (piece !== NOT_YET && (await endsNow(second))) return exchange.send(status, headers, piece);
  if (!exchange.begin(status, headers)) return;
  if (piece !== NOT_YET) await exchange.write(piece);
  for (let more = await second; more !== null; more = await next(reader)) await exchange.write(more);
}

// A read that is waited for later: until then its failure is nobody's.
function ahead(reader) {
  const read = next(reader);
  read.catch(() => {});
  return read;
}

async function endsNow(read) {
  try {
    return (await Promise.race([read, turn()])) === null;
  } catch {
    return false; // a piece was given before the failure, so the caller sees it, and then the end of the connection
  }
}

// The next piece that has bytes; null at the end.
async function next(reader) {
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return null;
    if (!(value instanceof Uint8Array)) throw new TypeError(`a Response's stream must give bytes (Uint8Array), not ${typeof value}`);
    if (value.length > 0) return value;
  }
}

function turn() {
  return new Promise((resolve) => setImmediate(resolve, NOT_YET));
}

module.exports = { open };
