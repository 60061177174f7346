'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const { connect } = require('node:net');
const { test } = require('node:test');

const { ask, project, startShim } = require('./support.js');

const READY = [{ phase: 'runtime' }, { phase: 'code' }, { phase: 'ready' }];

test('each way to export a handler is found', async (t) => {
  const cases = {
    'exports.handle': ['index.js', 'exports.handle = () => String(require.main === module);', 'true'],
    'module.exports function': ['index.js', "module.exports = async () => 'f';", 'f'],
    'module.exports object with this': ['index.js', "module.exports = { word: 'w', handle() { return this.word; } };", 'w'],
    'class instance': ['index.js', "class A { handle() { return 'c'; } }\nmodule.exports = new A();", 'c'],
    'export handle': ['index.mjs', "export const handle = () => 'm';", 'm'],
    'export default function': ['index.mjs', "export default () => 'd';", 'd'],
    'export default object': ['index.mjs', "export default { handle: () => 'o' };", 'o'],
    'module syntax without a type': ['index.js', "import 'node:path';\nexport const handle = () => 's';", 's'],
    'top-level await without a type': ['index.js', "const word = await Promise.resolve('a');\nexport const handle = () => word;", 'a'],
    'compiled from a module': ['index.js', "Object.defineProperty(exports, '__esModule', { value: true });\nexports.default = { fetch: () => new Response('t') };", 't'],
    'fetch before handle': ['index.js', "exports.handle = () => 'h';\nexports.fetch = () => new Response('f');", 'f'],
    'default fetch': ['index.mjs', 'export default { async fetch(request, env, ctx) { return new Response(`${env.WORD} ${typeof ctx.waitUntil}`); } };', 'e function'],
  };
  for (const [name, [file, text, wanted]] of Object.entries(cases)) {
    await t.test(name, async (s) => {
      const shim = await startShim(s, project(s, { 'package.json': {}, [file]: text }), { entry: file, env: { WORD: 'e' } });
      assert.deepStrictEqual(shim.status(), READY, shim.text.err);
      const answer = await ask(shim.socketPath);
      assert.deepStrictEqual([answer.status, answer.body.toString()], [200, wanted]);
    });
  }
});

test('a framework\'s application is no handler', async (t) => {
  const app = project(t, { 'index.js': 'const app = () => {};\napp.handle = () => {};\napp.listen = () => {};\nmodule.exports = app;' });
  const shim = await startShim(t, app, { entry: 'index.js' });
  assert.strictEqual(await shim.exited, 1);
  assert.match(shim.status().at(-1).message, /nothing listens on \$PORT/);
});

test('the status message is one bounded line', async (t) => {
  const shim = await startShim(t, project(t, { 'index.js': "throw new Error('\\u0001é'.repeat(5000) + '\\nsecond line');" }), { entry: 'index.js' });
  assert.strictEqual(await shim.exited, 1);
  assert.ok(Buffer.byteLength(shim.text.status.trim().split('\n').at(-1)) < 4096);
  assert.match(shim.status().at(-1).message, /^Error: /);
});

test('the descriptors of the platform are close-on-exec before the author\'s code runs', async (t) => {
  const app = project(t, {
    'index.js': "const fs = require('fs');\nconst flags = [3, 4].map((fd) => /flags:\\s*(\\d+)/.exec(fs.readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))[1]);\nexports.handle = () => ({ body: flags });",
  });
  const shim = await startShim(t, app, { entry: 'index.js' });
  const flags = JSON.parse((await ask(shim.socketPath)).body);
  for (const text of flags) assert.ok(parseInt(text, 8) & 0o2000000, `O_CLOEXEC in ${text}`);
});

test('arguments of the start script reach process.argv', async (t) => {
  const app = project(t, { 'index.js': 'exports.handle = () => ({ body: process.argv.slice(1) });' });
  const shim = await startShim(t, app, { entry: 'index.js', args: ['--a', 'b'] });
  assert.deepStrictEqual(JSON.parse((await ask(shim.socketPath)).body), [`${app}/index.js`, '--a', 'b']);
});

test('readiness() is asked until it says yes', async (t) => {
  const app = project(t, {
    'index.js': "let n = 0;\nexports.readiness = () => { n++; if (n === 1) return false; if (n === 2) throw new Error('not yet'); return n === 3 ? { statusCode: 503 } : 200; };\nexports.handle = () => String(n);",
  });
  const shim = await startShim(t, app, { entry: 'index.js' });
  assert.deepStrictEqual(shim.status(), READY);
  assert.strictEqual((await ask(shim.socketPath)).body.toString(), '4');
  assert.match(shim.text.err, /not yet/);
});

test('a stop waits for the work given to waitUntil, and its failure is only told', async (t) => {
  const app = project(t, {
    'index.js': `const fs = require('fs');
      exports.fetch = (request, env, ctx) => {
        ctx.waitUntil(Promise.reject(new Error('background failed')));
        ctx.waitUntil(new Promise((resolve) => process.on('SIGTERM', () => setImmediate(() => { fs.writeFileSync('done', 'yes'); resolve(); }))));
        return new Response('ok');
      };`,
  });
  const shim = await startShim(t, app, { entry: 'index.js' });
  assert.strictEqual((await ask(shim.socketPath)).body.toString(), 'ok');
  shim.child.kill('SIGTERM');
  assert.strictEqual(await shim.exited, 0);
  assert.strictEqual(fs.readFileSync(`${app}/done`, 'utf8'), 'yes');
  assert.match(shim.text.err, /background failed/);
});

// Sends half a body, waits until the handler has it, and goes away.
async function leaveInTheMiddle(shim, begun) {
  const socket = connect(shim.socketPath);
  socket.on('error', () => {});
  socket.write('POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 10\r\n\r\nhalf');
  while (!begun()) await new Promise((resolve) => shim.child.stdout.once('data', resolve));
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.end();
  socket.resume();
  await closed;
}

test('a caller who leaves does not end a process that had not awaited the body yet', async (t) => {
  const app = project(t, {
    'index.js': `exports.fetch = async (request) => {
      if (request.method === 'GET') return new Response('alive');
      const body = request.json();
      const other = new Promise((resolve, reject) => request.signal.addEventListener('abort', () => reject(request.signal.reason)));
      console.log('begun');
      await new Promise((resolve) => request.signal.addEventListener('abort', () => setImmediate(() => setImmediate(resolve))));
      await body;
    };`,
  });
  const shim = await startShim(t, app, { entry: 'index.js' });
  await leaveInTheMiddle(shim, () => shim.text.out.includes('begun'));
  assert.strictEqual((await ask(shim.socketPath)).body.toString(), 'alive');
  assert.doesNotMatch(shim.text.err, /the caller went away/);
});

test('every other unhandled rejection ends the process, unless the author listens', async (t) => {
  const code = "exports.handle = () => { Promise.reject(new Error('nobody handles')); return 'ok'; };";
  const shim = await startShim(t, project(t, { 'index.js': code }), { entry: 'index.js' });
  await ask(shim.socketPath).catch(() => {});
  assert.strictEqual(await shim.exited, 1);
  assert.match(shim.text.err, /nobody handles/);
  const listening = await startShim(t, project(t, { 'index.js': `process.on('unhandledRejection', () => console.log('seen'));\n${code}` }), { entry: 'index.js' });
  for (let i = 0; i < 2; i++) assert.strictEqual((await ask(listening.socketPath)).body.toString(), 'ok');
  assert.match(listening.text.out, /seen/);
});
