'use strict';

const assert = require('node:assert');
const { test } = require('node:test');

const { findEntry, parseStart } = require('../lib/entry.js');
const { project } = require('./support.js');

test('scripts.start names the entry where it is `node [flags] FILE`', () => {
  const cases = [
    ['node server.js', { file: 'server.js', flags: [], args: [] }],
    ['node --no-warnings -r dotenv/config src/app.mjs', { file: 'src/app.mjs', flags: ['--no-warnings', '-r', 'dotenv/config'], args: [] }],
    ['node --import=./hook.mjs --conditions production server', { file: 'server', flags: ['--import=./hook.mjs', '--conditions', 'production'], args: [] }],
    ['node --watch --inspect=0.0.0.0 server.js', { file: 'server.js', flags: [], args: [] }],
    ['node server.js --port 80 "a b"', { file: 'server.js', flags: [], args: ['--port', '80', 'a b'] }],
    ['  node   "my server.js" ', { file: 'my server.js', flags: [], args: [] }],
    ['node -- server.js', { file: 'server.js', flags: [], args: [] }],
    ['node .', { file: '.', flags: [], args: [] }],
  ];
  for (const [command, wanted] of cases) assert.deepStrictEqual(parseStart(command), wanted, command);
});

test('every other start command is ignored', () => {
  for (const command of [undefined, 7, '', 'func start', 'nodemon x.js', 'node', 'node --version', 'node -e "1"', 'node --test x.js', 'NODE_ENV=production node x.js', 'node a.js && node b.js',
    'node $FILE', 'npx ts-node x.ts', 'faas-js-runtime ./index.js']) {
    assert.strictEqual(parseStart(command), null, String(command));
  }
});

test('the order is scripts.start, main, index.js, dist/index.js', (t) => {
  const files = { 'start.js': '', 'main.js': '', 'index.js': '', 'dist/index.js': '' };
  const entryOf = (description, without = []) => {
    const left = Object.fromEntries(Object.entries(files).filter(([name]) => !without.includes(name)));
    return findEntry(project(t, { 'package.json': description, ...left })).entry;
  };
  assert.strictEqual(entryOf({ scripts: { start: 'node start' }, main: 'main.js' }), 'start.js');
  assert.strictEqual(entryOf({ scripts: { start: 'func start' }, main: './main' }), 'main.js');
  assert.strictEqual(entryOf({ main: 'gone.js' }), 'index.js');
  assert.strictEqual(entryOf({}), 'index.js');
  assert.strictEqual(entryOf({}, ['index.js']), 'dist/index.js');
  assert.strictEqual(entryOf({ scripts: { start: 'node .' }, main: 'main.js' }), 'main.js');
  assert.strictEqual(entryOf({ main: 'dist' }, ['index.js']), 'dist/index.js');
});

test('what cannot be an entry is refused by name', (t) => {
  const cases = [
    [{ 'package.json': { scripts: { start: 'node gone.js' } } }, /scripts\.start runs gone\.js, which is not there/],
    [{ 'package.json': { main: 'lib/x.js' } }, /none of main \(lib\/x\.js\), index\.js, dist\/index\.js is there/],
    [{ 'package.json': { main: 'index.ts' }, 'index.ts': '' }, /main \(index\.ts\) is TypeScript/],
    [{ 'package.json': { main: '../../../../../../etc/hostname' } }, /leads out of the project/],
    [{ 'package.json': '{"main": ' }, /^package\.json: /],
    [{ 'package.json': '[]' }, /package\.json: must be an object/],
    [{ 'package.json': ' '.repeat((1 << 20) + 1) }, /larger than 1 MB/],
  ];
  for (const [files, wanted] of cases) assert.throws(() => findEntry(project(t, files)), { name: 'StartFailed', message: wanted });
});
