'use strict';

// Plain HTTP to $SKERRY_BINDINGS. node:http and not fetch: it costs a tenth at first use.

const http = require('node:http');

const ANSWER_MAX_BYTES = 32 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

const agent = new http.Agent({ keepAlive: true, maxSockets: 32 });

function notConfigured(BindingError, what) {
  return new BindingError(501, 'binding_not_configured',
    `${what}: this location serves no bindings (SKERRY_BINDINGS is not set); its operator must configure the binding's backend in /etc/skerry/skerry.toml`);
}

// {status, body} of 2xx and of 404 to a GET; every other answer throws what its JSON says.
async function call(BindingError, what, method, path, content) {
  const base = process.env.SKERRY_BINDINGS;
  if (!base) throw notConfigured(BindingError, what);
  const { status, body } = await send(BindingError, what, method, new URL(base.replace(/\/$/, '') + path), content);
  if ((status >= 200 && status <= 299) || (method === 'GET' && status === 404 && isMissing(body))) return { status, body };
  const { code, message } = failureOf(body);
  throw new BindingError(status, code, `${what}: ${message || `the bindings endpoint answered ${status}`}`);
}

function failureOf(body) {
  try {
    const { error } = JSON.parse(body.toString('utf8'));
    return { code: String(error.code), message: String(error.message) };
  } catch {
    return { code: 'binding_failed', message: '' };
  }
}

// A key or secret that is not there, and not a binding that is not.
function isMissing(body) {
  return failureOf(body).code === 'not_found';
}

function send(BindingError, what, method, url, content) {
  return new Promise((resolve, reject) => {
    const fail = (code, message) => reject(new BindingError(0, code, `${what}: ${message}`));
    const headers = content === undefined ? {} : { 'content-type': 'application/octet-stream', 'content-length': content.length };
    const request = http.request(url, { method, agent, headers, timeout: TIMEOUT_MS }, (answer) => {
      const pieces = [];
      let size = 0;
      answer.on('data', (piece) => {
        size += piece.length;
        pieces.push(piece);
        if (size > ANSWER_MAX_BYTES) request.destroy(new Error(`an answer of more than ${ANSWER_MAX_BYTES >> 20} MB`));
      });
      answer.on('end', () => resolve({ status: answer.statusCode, body: Buffer.concat(pieces) }));
      answer.on('error', (error) => fail('binding_unreachable', error.message));
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    request.on('error', (error) => fail('binding_unreachable', `the bindings endpoint cannot be reached (${error.message})`));
    request.end(content);
  });
}

module.exports = { call, notConfigured };
