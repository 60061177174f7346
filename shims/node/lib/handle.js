'use strict';

// The shape `handle(context, body)` (CONTRACT section 2; Knative's functions). The whole body is given to the handler; its result is the answer.

const { Context } = require('./context.js');
const { printTrace } = require('./failures.js');
const { parseBody } = require('./parse_body.js');

// CONTRACT section 8. The platform has refused longer ones; this is for a chunked body whose length nobody knew.
const BODY_MAX_BYTES = 10 * 1024 * 1024;
const READY_WAIT_FIRST_MS = 5;
const READY_WAIT_MAX_MS = 100;

const JSON_TYPE = 'application/json';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const BYTES_TYPE = 'application/octet-stream';

// `functions` is {handle, init, shutdown, readiness}. Runs the author's start-up code.
async function open(functions) {
  if (functions.init !== undefined) await functions.init();
  if (functions.readiness !== undefined) await untilReady(functions.readiness);
  return {
    answer: (exchange) => answer(functions.handle, exchange),
    stop: () => functions.shutdown && functions.shutdown(),
  };
}

// Asks readiness() until it says yes; the platform's start_timeout ends it. No is: false, a status of 500 and more, or an exception.
async function untilReady(readiness) {
  for (let waitMs = READY_WAIT_FIRST_MS; ; waitMs = Math.min(2 * waitMs, READY_WAIT_MAX_MS)) {
    try {
      const said = await readiness();
      const status = typeof said === 'number' ? said : said && said.statusCode;
      if (said !== false && !(status >= 500)) return;
    } catch (error) {
      printTrace(error);
    }
    await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

async function answer(handle, exchange) {
  const rawBody = await exchange.body.takeAll(BODY_MAX_BYTES);
  if (rawBody === null) {
    const error = { code: 'body_too_large', message: 'the request body is longer than 10 MB', request_id: exchange.head.requestId };
    exchange.send(413, ['content-type', JSON_TYPE], JSON.stringify({ error }));
    return;
  }
  const context = new Context(exchange, rawBody);
  await sendResult(exchange, await handle(context, parseBody(context.headers['content-type'], rawBody)));
}

function isWholeAnswer(result) {
  return typeof result === 'object' && result !== null && !Array.isArray(result) && !isStream(result) && !(result instanceof Uint8Array) &&
    (result.statusCode !== undefined || result.headers !== undefined || result.body !== undefined);
}

async function sendResult(exchange, result) {
  if (!isWholeAnswer(result)) return sendBody(exchange, 0, [], false, result);
  const { headers, typed } = flatten(result.headers);
  const status = result.statusCode === undefined || result.statusCode === null ? 0 : Number(result.statusCode);
  if (status !== 0 && !(Number.isInteger(status) && status >= 200 && status <= 599)) {
    throw new TypeError(`statusCode is ${String(result.statusCode)}; it must be a number from 200 to 599`);
  }
  return sendBody(exchange, status, headers, typed, result.body);
}

// `status` 0: as the kind of body says. `typed`: the author gave a content-type.
function sendBody(exchange, status, headers, typed, body) {
  const typedAs = (type) => (typed ? headers : [...headers, 'content-type', type]);
  if (body === undefined || body === null) return exchange.send(status || 204, headers, '');
  const known = status || 200;
  if (typeof body === 'string') return exchange.send(known, typedAs(TEXT_TYPE), body);
  if (body instanceof Uint8Array) return exchange.send(known, typedAs(BYTES_TYPE), body);
  if (body instanceof ArrayBuffer) return exchange.send(known, typedAs(BYTES_TYPE), new Uint8Array(body));
  if (isStream(body)) return sendStream(exchange, known, typedAs(BYTES_TYPE), body);
  const text = JSON.stringify(body);
  if (text === undefined) throw new TypeError(`a result of type ${typeof body} cannot be sent`);
  return exchange.send(known, typedAs(JSON_TYPE), text);
}

// A Readable of node:stream, a ReadableStream, or any async generator.
function isStream(value) {
  return typeof value === 'object' && value !== null && typeof value[Symbol.asyncIterator] === 'function';
}

async function sendStream(exchange, status, headers, stream) {
  const pieces = stream[Symbol.asyncIterator]();
  // A stream that waits for its next piece is told at once that nobody wants it; a generator hears of it at its next `yield`.
  const cancel = () => {
    if (typeof stream.destroy === 'function') stream.destroy();
    else if (typeof pieces.return === 'function') Promise.resolve(pieces.return()).catch(() => {});
  };
  if (!exchange.begin(status, headers)) return cancel();
  if (exchange.gone) cancel();
  else exchange.onGone = chain(exchange.onGone, cancel);
  try {
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
      await exchange.write(typeof next.value === 'string' ? Buffer.from(next.value) : bytesOf(next.value));
    }
  } catch (error) {
    cancel();
    if (!exchange.gone) throw error;
  }
}

function bytesOf(piece) {
  if (piece instanceof Uint8Array) return piece;
  throw new TypeError(`a stream must give strings or bytes, not ${typeof piece}`);
}

function chain(first, second) {
  return first === null ? second : () => { first(); second(); };
}

// Header values may be strings, numbers, booleans, or arrays of them (several lines of the same name).
function flatten(headers) {
  const flat = [];
  let typed = false;
  if (headers === undefined || headers === null) return { headers: flat, typed };
  const pairs = typeof headers[Symbol.iterator] === 'function' ? headers : Object.entries(headers);
  for (const [name, value] of pairs) {
    if (value === undefined || value === null) continue;
    if (String(name).toLowerCase() === 'content-type') typed = true;
    for (const one of Array.isArray(value) ? value : [value]) flat.push(String(name), String(one));
  }
  return { headers: flat, typed };
}

module.exports = { open };
