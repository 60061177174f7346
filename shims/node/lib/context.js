'use strict';

// What a `handle(context, body)` learns of its request (CONTRACT section 2).

const { CallerGone } = require('./failures.js');

const LEVELS_TO_STDERR = new Set(['warn', 'error']);

class Context {
  #exchange;
  #controller = null;
  #query = null;
  #log = null;

  constructor(exchange, rawBody) {
    this.#exchange = exchange;
    const { method, target, headers } = exchange.head;
    const mark = target.indexOf('?');
    this.method = method;
    this.url = target;
    this.path = mark < 0 ? target : target.slice(0, mark);
    this.headers = headersObject(headers);
    this.httpVersion = '1.1';
    this.rawBody = rawBody;
  }

  // Repeated names become arrays. An object without a prototype: names come from the caller.
  get query() {
    if (this.#query === null) {
      const { target } = this.#exchange.head;
      const mark = target.indexOf('?');
      this.#query = mark < 0 ? Object.create(null) : require('node:querystring').parse(target.slice(mark + 1));
    }
    return this.#query;
  }

  // Aborted when the caller goes away. Made when first asked for: it costs the load of its class.
  get signal() {
    if (this.#controller === null) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.#exchange.gone) controller.abort(new CallerGone());
      else this.#exchange.onGone = () => controller.abort(new CallerGone());
    }
    return this.#controller.signal;
  }

  get log() {
    if (this.#log === null) this.#log = makeLog(this.#exchange.head.requestId);
    return this.#log;
  }
}

// As node's own: repeated lines joined, cookies with semicolons, set-cookie an array.
function headersObject(flat) {
  const headers = {};
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i];
    const value = flat[i + 1];
    if (!Object.hasOwn(headers, name)) headers[name] = name === 'set-cookie' ? [value] : value;
    else if (name === 'set-cookie') headers[name].push(value);
    else headers[name] += `${name === 'cookie' ? '; ' : ', '}${value}`;
  }
  return headers;
}

// One line of JSON each: level, message, request_id, then the author's fields.
function makeLog(requestId) {
  const log = {};
  for (const level of ['debug', 'info', 'warn', 'error']) {
    const stream = LEVELS_TO_STDERR.has(level) ? 'stderr' : 'stdout';
    log[level] = (first, second) => void process[stream].write(`${logLine(level, requestId, first, second)}\n`);
  }
  return log;
}

function logLine(level, requestId, first, second) {
  // (message, fields) and (fields, message).
  const swapped = typeof first === 'object' && first !== null && (second === undefined || typeof second === 'string');
  let message = swapped ? second : first;
  let fields = swapped ? first : second;
  if (fields instanceof Error) {
    if (message === undefined) message = fields.message;
    fields = { error: fields };
  } else if (fields !== undefined && (typeof fields !== 'object' || fields === null)) {
    fields = { value: fields };
  }
  const entry = { level, message: typeof message === 'string' || message === undefined ? message : plain('', message), request_id: requestId };
  for (const [name, value] of Object.entries(fields || {})) if (!Object.hasOwn(entry, name) || entry[name] === undefined) entry[name] = value;
  try {
    return JSON.stringify(entry, plain);
  } catch {
    // Circular, or a toJSON that throws.
    return JSON.stringify({ level, message: String(message), request_id: requestId, fields: require('node:util').inspect(fields, { breakLength: Infinity }) });
  }
}

function plain(_name, value) {
  if (value instanceof Error) return { name: value.name, message: value.message, stack: value.stack, ...(value.code === undefined ? {} : { code: value.code }) };
  if (typeof value === 'bigint' || typeof value === 'symbol') return String(value);
  return value;
}

module.exports = { Context };
