'use strict';

const assert = require('node:assert');
const http = require('node:http');
const path = require('node:path');
const { test } = require('node:test');

const { SHIM, project, run } = require('./support.js');

// Runs `code` (which prints JSON) with the package as an installed one.
async function inFunction(t, code, env) {
  const app = project(t, { 'index.mjs': `import { env, BindingError } from ${JSON.stringify(path.join(SHIM, 'runtime/index.js'))};\nconst seen = (error) => ({ name: error.name, status: error.status, code: error.code, message: error.message });\n${code}` });
  const done = await run(process.execPath, ['index.mjs'], { cwd: app, env });
  assert.strictEqual(done.status, 0, done.err);
  return JSON.parse(done.out);
}

// The endpoint of README.md, with one namespace CACHE.
async function endpoint(t) {
  const values = new Map();
  const requests = [];
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece)).on('end', () => {
      const { pathname, searchParams } = new URL(request.url, 'http://x');
      requests.push(`${request.method} ${request.url}`);
      const fail = (status, code, message) => response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error: { code, message } }));
      const [, kind, name, key] = pathname.split('/').map(decodeURIComponent);
      if (kind === 'secrets') return name === 'THERE' ? response.end('s3cret') : fail(404, 'not_found', 'no such secret');
      if (kind !== 'kv' || name !== 'CACHE') return fail(501, 'binding_not_configured', `the operator must configure ${name}`);
      if (key === undefined) return response.end(JSON.stringify({ keys: [...values.keys()].filter((k) => k.startsWith(searchParams.get('prefix') ?? '')).map((k) => ({ name: k, sizeBytes: values.get(k).length, updatedAt: 'now' })), list_complete: true }));
      if (request.method === 'PUT') values.set(key, Buffer.concat(pieces));
      if (request.method === 'DELETE') values.delete(key);
      if (request.method !== 'GET') return response.writeHead(204).end();
      return values.has(key) ? response.end(values.get(key)) : fail(404, 'not_found', 'no such key');
    });
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { requests, url: `http://127.0.0.1:${server.address().port}` };
}

const NAMES = JSON.stringify({ kv: ['CACHE', 'OTHER'], api: ['API'] });

test('a KV namespace gets, puts, deletes and lists', async (t) => {
  const { requests, url } = await endpoint(t);
  const seen = await inFunction(t, `
    const key = 'a/b ü?';
    const before = await env.CACHE.get(key);
    await env.CACHE.put(key, '{"n":1}', { expirationTtl: 60 });
    await env.CACHE.put('bytes', new Uint8Array([104, 105]));
    const out = [before, await env.CACHE.get(key), await env.CACHE.get(key, { type: 'json' }), await env.CACHE.get('bytes', 'text'), await env.CACHE.list({ prefix: 'by', limit: 10 })];
    await env.CACHE.delete('bytes');
    console.log(JSON.stringify([...out, await env.CACHE.get('bytes')]));
    process.exit();`, { SKERRY_BINDINGS: `${url}/`, SKERRY_BINDING_NAMES: NAMES });
  assert.deepStrictEqual(seen, [null, '{"n":1}', { n: 1 }, 'hi', { keys: [{ name: 'bytes', sizeBytes: 2, updatedAt: 'now' }], list_complete: true }, null]);
  assert.ok(requests.includes('PUT /kv/CACHE/a%2Fb%20%C3%BC%3F?expiration_ttl=60'), requests.join('\n'));
  assert.ok(requests.includes('GET /kv/CACHE?prefix=by&limit=10'), requests.join('\n'));
});

test('secrets come from the environment, then from the endpoint', async (t) => {
  const { requests, url } = await endpoint(t);
  const seen = await inFunction(t, "console.log(JSON.stringify([await env.SECRETS.get('DELIVERED'), await env.SECRETS.get('THERE'), await env.SECRETS.get('MISSING')]));\nprocess.exit();",
    { SKERRY_BINDINGS: url, DELIVERED: 'from env' });
  assert.deepStrictEqual(seen, ['from env', 's3cret', null]);
  assert.deepStrictEqual(requests, ['GET /secrets/THERE', 'GET /secrets/MISSING']);
});

test('failures carry status, code and message', async (t) => {
  const { url } = await endpoint(t);
  const code = "console.log(JSON.stringify([await env.OTHER.get('k').catch(seen), await env.CACHE.get('').catch(seen), await env.CACHE.put('k', {}).catch(seen)]));\nprocess.exit();";
  const [other, ...wrong] = await inFunction(t, code, { SKERRY_BINDINGS: url, SKERRY_BINDING_NAMES: NAMES });
  assert.deepStrictEqual(other, { name: 'BindingError', status: 501, code: 'binding_not_configured', message: 'KV binding OTHER: the operator must configure OTHER' });
  assert.deepStrictEqual(wrong.map(({ name }) => name), ['TypeError', 'TypeError']);
  const [gone] = await inFunction(t, "console.log(JSON.stringify([await env.CACHE.get('k').catch(seen)]));", { SKERRY_BINDINGS: 'http://127.0.0.1:9', SKERRY_BINDING_NAMES: NAMES });
  assert.deepStrictEqual([gone.status, gone.code], [0, 'binding_unreachable']);
});

test('without an endpoint everything loads, and the first use says what the operator must do', async (t) => {
  const seen = await inFunction(t, `
    const thrown = (f) => { try { f(); } catch (error) { return seen(error); } };
    console.log(JSON.stringify([env.GREETING, env.UNDECLARED === undefined, await env.CACHE.get('k').catch(seen), await env.SECRETS.get('X').catch(seen), thrown(() => env.API)]));`,
  { SKERRY_BINDING_NAMES: NAMES, GREETING: 'Hello' });
  assert.deepStrictEqual(seen.slice(0, 2), ['Hello', true]);
  for (const failure of seen.slice(2)) {
    assert.deepStrictEqual([failure.status, failure.code], [501, 'binding_not_configured']);
    assert.match(failure.message, /operator must configure/);
  }
});

test('an API binding is the project\'s own client, pointed at the endpoint', async (t) => {
  const code = "console.log(JSON.stringify([env.API.options, env.API === env.API]));";
  const app = project(t, {
    'index.mjs': `import { env } from ${JSON.stringify(path.join(SHIM, 'runtime/index.js'))};\n${code}`, 'package.json': {},
    'node_modules/telnyx/index.js': 'exports.default = class { constructor(options) { this.options = options; } };',
  });
  const done = await run(process.execPath, ['index.mjs'], { cwd: app, env: { SKERRY_BINDINGS: 'http://b', SKERRY_BINDING_NAMES: NAMES, TELNYX_API_KEY: 'placeholder' } });
  assert.deepStrictEqual(JSON.parse(done.out), [{ apiKey: 'placeholder', baseURL: 'http://b/api/API' }, true], done.err);
  const without = await inFunction(t, 'try { env.API; } catch (error) { console.log(JSON.stringify(seen(error))); }', { SKERRY_BINDINGS: 'http://b', SKERRY_BINDING_NAMES: NAMES });
  assert.deepStrictEqual([without.code, /add it to the dependencies/.test(without.message)], ['missing_package', true]);
});
