'use strict';
// The shapes of a Node.js function (CONTRACT section 2): `fetch`, a Web API handler, and `handle`, with context and body. Each becomes an object with
// start, stop and serve(request, response, signal).
const { Readable } = require('node:stream');

const MAX_BODY = 10 * 1024 * 1024;

const isFunction = (value) => typeof value === 'function';

// The exports that count: the module's own, or its default's.
function find(loaded) {
  for (const candidate of [loaded, loaded && loaded.default, loaded && loaded.default && loaded.default.default]) {
    if (!candidate) continue;
    if (isFunction(candidate.fetch)) return { shape: 'fetch', target: candidate };
    if (isFunction(candidate.handle)) return { shape: 'handle', target: candidate };
    if (isFunction(candidate) && !/^class\s/.test(Function.prototype.toString.call(candidate))) return { shape: 'handle', target: { handle: candidate } };
  }
  return null;
}

function handlerOf(loaded, wanted) {
  const found = find(loaded);
  if (!found) throw new Error('no handler: the module must export `fetch`, or `handle` (or a function), or be a server that listens on $PORT');
  if (wanted && wanted !== found.shape) throw new Error(`the build recorded the shape ${wanted}, the module is ${found.shape}`);
  return found.shape === 'fetch' ? fetchHandler(found.target) : handleHandler(found.target);
}

// ---- handle

function readBody(request) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    let size = 0;
    request.on('data', (piece) => {
      size += piece.length;
      if (size > MAX_BODY) reject(new Error(`the request body is larger than ${MAX_BODY} bytes`));
      else pieces.push(piece);
    });
    request.on('end', () => resolve(Buffer.concat(pieces)));
    request.on('error', reject);
    request.on('aborted', () => reject(new Error('the request was cut short')));
  });
}

function parseBody(raw, type) {
  if (raw.length === 0) return undefined;
  const kind = (type || '').split(';')[0].trim().toLowerCase();
  if (kind === 'application/json' || kind.endsWith('+json')) {
    try {
      return JSON.parse(raw.toString('utf8'));
    } catch {
      return raw.toString('utf8');
    }
  }
  if (kind === 'application/x-www-form-urlencoded') {
    const form = {};
    for (const [name, value] of new URLSearchParams(raw.toString('utf8'))) form[name] = name in form ? [].concat(form[name], value) : value;
    return form;
  }
  if (kind === '' || kind === 'application/octet-stream' || /^(image|audio|video|font)\//.test(kind)) return raw;
  return raw.toString('utf8');
}

function logLine(level, first, second) {
  const [message, fields] = typeof first === 'string' ? [first, second] : [second, first];
  const line = JSON.stringify({ level, message, ...(fields instanceof Error ? { error: fields.stack } : fields) });
  (level === 'error' || level === 'warn' ? console.error : console.log)(line);
}

function contextOf(request, rawBody, signal) {
  const question = request.url.indexOf('?');
  const query = {};
  if (question >= 0) {
    for (const [name, value] of new URLSearchParams(request.url.slice(question + 1))) query[name] = name in query ? [].concat(query[name], value) : value;
  }
  const log = {};
  for (const level of ['info', 'warn', 'error', 'debug']) log[level] = (first, second) => logLine(level, first, second);
  return {
    method: request.method,
    url: request.url,
    path: question >= 0 ? request.url.slice(0, question) : request.url,
    query,
    headers: request.headers,
    httpVersion: request.httpVersion,
    rawBody,
    log,
    signal,
  };
}

function sendValue(response, value, status, headers) {
  const has = (name) => Object.keys(headers).some((key) => key.toLowerCase() === name);
  let body = null;
  let type = null;
  if (value === undefined || value === null) body = null;
  else if (Buffer.isBuffer(value) || value instanceof Uint8Array) [body, type] = [Buffer.from(value), 'application/octet-stream'];
  else if (typeof value === 'string') [body, type] = [Buffer.from(value), 'text/plain; charset=utf-8'];
  else [body, type] = [Buffer.from(JSON.stringify(value)), 'application/json; charset=utf-8'];
  const all = { ...headers };
  if (type && !has('content-type')) all['content-type'] = type;
  if (body && status !== 204 && status !== 304 && !has('content-length')) all['content-length'] = body.length;
  response.writeHead(status, all);
  response.end(body || undefined);
}

function handleHandler(target) {
  return {
    start: async () => target.init && target.init(),
    stop: async () => target.shutdown && target.shutdown(),
    async serve(request, response, signal) {
      const raw = await readBody(request);
      const result = await target.handle(contextOf(request, raw, signal), parseBody(raw, request.headers['content-type']));
      const whole = result !== null && typeof result === 'object' && !Buffer.isBuffer(result) && ('statusCode' in result || 'headers' in result || 'body' in result);
      if (whole) sendValue(response, result.body, result.statusCode || (result.body === undefined || result.body === null ? 204 : 200), result.headers || {});
      else sendValue(response, result, result === undefined || result === null ? 204 : 200, {});
    },
  };
}

// ---- fetch

function webRequest(request, signal) {
  const scheme = request.headers['x-forwarded-proto'] || 'http';
  const headers = new Headers();
  for (let i = 0; i < request.rawHeaders.length; i += 2) headers.append(request.rawHeaders[i], request.rawHeaders[i + 1]);
  const bodiless = request.method === 'GET' || request.method === 'HEAD';
  return new Request(`${scheme}://${request.headers.host || 'localhost'}${request.url}`, {
    method: request.method,
    headers,
    signal,
    body: bodiless ? undefined : Readable.toWeb(request),
    duplex: bodiless ? undefined : 'half',
  });
}

async function sendWebResponse(answer, response, head) {
  if (!(answer instanceof Response)) throw new TypeError('fetch must return a Response');
  const headers = [];
  for (const [name, value] of answer.headers) headers.push([name, value]);
  response.writeHead(answer.status, headers.flat());
  if (!answer.body || head) return response.end();
  response.flushHeaders();
  for await (const piece of answer.body) {
    if (!response.write(piece)) await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
    if (response.destroyed) break;
  }
  response.end();
}

function fetchHandler(target) {
  const pending = new Set();
  return {
    start: async () => {},
    stop: async () => void (await Promise.allSettled(pending)),
    async serve(request, response, signal) {
      const context = {
        waitUntil(promise) {
          const kept = Promise.resolve(promise).catch((error) => console.error(error));
          pending.add(kept);
          kept.finally(() => pending.delete(kept));
        },
      };
      const answer = await target.fetch(webRequest(request, signal), process.env, context);
      await sendWebResponse(answer, response, request.method === 'HEAD');
    },
  };
}

module.exports = { find, handlerOf };
