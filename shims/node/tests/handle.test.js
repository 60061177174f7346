'use strict';

const assert = require('node:assert');
const { test } = require('node:test');

const { parseBody } = require('../lib/parse_body.js');
const { ask, project, startShim } = require('./support.js');

test('the body is what its content type says', () => {
  const cases = [
    ['application/json', '{"a":[1]}', { a: [1] }],
    ['application/vnd.api+json; charset=utf-8', '"x"', 'x'],
    ['application/json', '{"a":', '{"a":'],
    ['application/json', 'null', null],
    ['application/x-www-form-urlencoded', 'a=1&b=x+y&b=%C3%BC', { a: '1', b: ['x y', 'ü'] }],
    ['text/plain', 'häl', 'häl'],
    ['TEXT/CSV;charset=iso-8859-1', Buffer.from([0xe4]), 'ä'],
    ['text/plain;charset=klingon', 'x', 'x'],
    ['image/svg+xml', '<svg/>', '<svg/>'],
    ['application/xml', '<a/>', '<a/>'],
  ];
  for (const [type, bytes, wanted] of cases) {
    const got = parseBody(type, Buffer.from(bytes));
    assert.deepStrictEqual(got !== null && typeof got === 'object' && !Array.isArray(got) ? { ...got } : got, wanted, type);
  }
  for (const type of ['application/octet-stream', 'image/png', 'multipart/form-data; boundary=x', undefined]) {
    assert.ok(Buffer.isBuffer(parseBody(type, Buffer.from('x'))), String(type));
  }
  assert.strictEqual(parseBody('application/json', Buffer.alloc(0)), undefined);
});

const RESULTS = {
  string: ["'x'", 200, 'text/plain; charset=utf-8', 'x'],
  emptyString: ["''", 200, 'text/plain; charset=utf-8', ''],
  buffer: ["Buffer.from('b')", 200, 'application/octet-stream', 'b'],
  bytes: ['new Uint8Array([65])', 200, 'application/octet-stream', 'A'],
  undefined: ['undefined', 204, undefined, ''],
  null: ['null', 204, undefined, ''],
  number: ['7', 200, 'application/json', '7'],
  false: ['false', 200, 'application/json', 'false'],
  array: ['[{ body: 1 }]', 200, 'application/json', '[{"body":1}]'],
  object: ['({ a: 1 })', 200, 'application/json', '{"a":1}'],
  promise: ['Promise.resolve({ a: 2 })', 200, 'application/json', '{"a":2}'],
  wholeText: ["({ statusCode: 201, body: 'x' })", 201, 'text/plain; charset=utf-8', 'x'],
  wholeJson: ["({ body: { a: 1 }, headers: { 'X-A': 'b' } })", 200, 'application/json', '{"a":1}'],
  wholeTyped: ["({ body: '<p>', headers: { 'Content-Type': 'text/html' } })", 200, 'text/html', '<p>'],
  wholeEmpty: ['({ statusCode: 404 })', 404, undefined, ''],
  headersOnly: ["({ headers: { location: '/' } })", 204, undefined, ''],
  stringStatus: ["({ statusCode: '202' })", 202, undefined, ''],
  unicode: ["'ü€😀'", 200, 'text/plain; charset=utf-8', 'ü€😀'],
  badStatus: ['({ statusCode: 99 })', 500, 'application/json', undefined],
  badHeader: ["({ headers: { x: 'a\\r\\nb: c' }, body: 'x' })", 500, 'application/json', undefined],
  symbol: ["Symbol('x')", 500, 'application/json', undefined],
  circular: ['(() => { const a = {}; a.a = a; return a; })()', 500, 'application/json', undefined],
  thrownText: ["(() => { throw 'text'; })()", 500, 'application/json', undefined],
  thrownNull: ['(() => { throw null; })()', 500, 'application/json', undefined],
};

test('each kind of result becomes the answer that the contract says', async (t) => {
  const lines = Object.entries(RESULTS).map(([name, [expression]]) => `'/${name}': () => ${expression}`);
  const shim = await startShim(t, project(t, { 'index.js': `const of = { ${lines.join(',\n')} };\nexports.handle = ({ path }) => of[path]();` }), { entry: 'index.js' });
  for (const [name, [, status, type, body]] of Object.entries(RESULTS)) {
    const answer = await ask(shim.socketPath, { path: `/${name}` });
    assert.deepStrictEqual([answer.status, answer.headers['content-type']], [status, type], name);
    if (body !== undefined) assert.strictEqual(answer.body.toString(), body, name);
    else assert.deepStrictEqual(JSON.parse(answer.body).error, { code: 'function_error', message: 'the function failed; see its log', request_id: 'req-1' }, name);
  }
});

test('the context is what the contract says', async (t) => {
  const app = project(t, {
    'index.js': `exports.handle = ({ method, url, path, query, headers, httpVersion, rawBody, signal }, body) =>
      ({ body: { method, url, path, query, headers: [headers.host, headers['x-a'], headers.cookie], httpVersion, raw: rawBody.toString('hex'), isBuffer: Buffer.isBuffer(rawBody), aborted: signal.aborted, body } });`,
  });
  const shim = await startShim(t, app, { entry: 'index.js' });
  const answer = await ask(shim.socketPath, { method: 'PATCH', path: '/a%20b?x=1&x=2&y=%20', headers: { host: 'h', 'x-a': ['1', '2'], cookie: ['a=1', 'b=2'], 'content-type': 'application/json' }, body: '{ "k": 1 }' });
  assert.deepStrictEqual(JSON.parse(answer.body), {
    method: 'PATCH', url: '/a%20b?x=1&x=2&y=%20', path: '/a%20b', query: { x: ['1', '2'], y: ' ' }, headers: ['h', '1, 2', 'a=1; b=2'], httpVersion: '1.1',
    raw: Buffer.from('{ "k": 1 }').toString('hex'), isBuffer: true, aborted: false, body: { k: 1 },
  });
});

test('a body of 10 MB is taken, one byte more is not', async (t) => {
  const shim = await startShim(t, project(t, { 'index.js': 'exports.handle = ({ rawBody }) => String(rawBody.length);' }), { entry: 'index.js' });
  const headers = { 'transfer-encoding': 'chunked' };
  const most = 10 * 1024 * 1024;
  assert.strictEqual((await ask(shim.socketPath, { method: 'POST', headers, body: Buffer.alloc(most) })).body.toString(), String(most));
  const refused = await ask(shim.socketPath, { method: 'POST', headers, body: Buffer.alloc(most + 1) });
  assert.deepStrictEqual([refused.status, JSON.parse(refused.body).error.code], [413, 'body_too_large']);
});

test('the log takes its arguments in both orders, and whatever they are', async (t) => {
  const app = project(t, {
    'index.js': `exports.handle = ({ log }) => {
      log.info('first', { a: 1 }); log.info({ a: 2 }, 'second'); log.warn('third'); log.error(new Error('fourth')); log.error('fifth', new Error('inner'));
      const circular = { n: 1n }; circular.self = circular; log.debug('sixth', circular); log.info('seventh', { level: 'x', n: 10n }); log.info({ only: true }); log.info(8);
    };`,
  });
  const shim = await startShim(t, app, { entry: 'index.js' });
  assert.strictEqual((await ask(shim.socketPath)).status, 204);
  shim.child.kill('SIGTERM');
  assert.strictEqual(await shim.exited, 0);
  const out = shim.text.out.trim().split('\n').map((line) => JSON.parse(line));
  const err = shim.text.err.trim().split('\n').map((line) => JSON.parse(line));
  const id = { request_id: 'req-1' };
  assert.deepStrictEqual(out.slice(0, 2), [{ level: 'info', message: 'first', ...id, a: 1 }, { level: 'info', message: 'second', ...id, a: 2 }]);
  assert.match(out[2].fields, /Circular/);
  assert.deepStrictEqual(out.slice(3), [{ level: 'info', message: 'seventh', ...id, n: '10' }, { level: 'info', ...id, only: true }, { level: 'info', message: 8, ...id }]);
  assert.deepStrictEqual(err.map(({ level, message }) => [level, message]), [['warn', 'third'], ['error', 'fourth'], ['error', 'fifth']]);
  assert.match(err[2].error.stack, /inner/);
});
