'use strict';

// The stages as the pipeline runs them, against a registry made here. Nothing outside of this machine is asked.

const assert = require('node:assert');
const crypto = require('node:crypto');
const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');
const { spawn } = require('node:child_process');
const { test } = require('node:test');

const { SHIM, project, run, startShim, ask } = require('./support.js');

async function tar(folder, names) {
  return (await run('tar', ['-C', folder, '-cf', '-', ...names])).out;
}

async function untar(folder, bytes) {
  fs.mkdirSync(folder, { recursive: true });
  const done = await run('tar', ['-C', folder, '-xf', '-'], { input: bytes });
  assert.strictEqual(done.status, 0, done.err);
}

// A registry with these packages ({name: files}); `asked` are the paths that were requested.
async function registry(t, packages) {
  const asked = [];
  const tarballs = {};
  for (const [name, files] of Object.entries(packages)) {
    const folder = project(t, Object.fromEntries(Object.entries({ 'package.json': { name, version: '1.2.3' }, ...files }).map(([file, text]) => [`package/${file}`, text])));
    tarballs[name] = (await run('tar', ['-C', folder, '-czf', '-', 'package'])).out;
  }
  const server = http.createServer((request, response) => {
    asked.push(request.url);
    const base = `http://127.0.0.1:${server.address().port}`;
    const [, name, file] = /^\/([^/]+)(\/-\/.+)?$/.exec(decodeURIComponent(request.url)) || [];
    if (tarballs[name] === undefined) return response.writeHead(404).end('{}');
    if (file !== undefined) return response.end(tarballs[name]);
    const integrity = `sha512-${crypto.createHash('sha512').update(tarballs[name]).digest('base64')}`;
    const description = packages[name]['package.json'] || { name, version: '1.2.3' };
    response.end(JSON.stringify({ name, 'dist-tags': { latest: '1.2.3' }, versions: { '1.2.3': { ...description, dist: { tarball: `${base}/${name}/-/${name}-1.2.3.tgz`, integrity } } } }));
  }).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.after(() => server.close());
  return { asked, url: `http://127.0.0.1:${server.address().port}/` };
}

const MANIFESTS = ['package.json', 'package-lock.json', 'npm-shrinkwrap.json', '.npmrc'];

// deps: {status, err, folder}, with the result unpacked in `folder`.
async function deps(t, app, { registryUrl = 'http://127.0.0.1:9/', env = {}, withSource = false } = {}) {
  const work = withSource ? app : project(t, {});
  const input = withSource ? Buffer.alloc(0) : await tar(app, MANIFESTS.filter((name) => fs.existsSync(path.join(app, name))));
  const home = project(t, {});
  const done = await run('sh', [path.join(SHIM, 'deps.sh')], {
    input, env: { SKERRY_WORK: work, TMPDIR: home, HOME: home, NPM_CONFIG_REGISTRY: registryUrl, ...(withSource ? { SKERRY_SRC: work } : {}), ...env },
  });
  const folder = project(t, {});
  if (done.status === 0) await untar(folder, done.out);
  return { ...done, folder };
}

async function build(t, app, env = {}) {
  const home = project(t, {});
  const excludes = path.join(home, 'exclude');
  fs.writeFileSync(excludes, '');
  const done = await run('sh', [path.join(SHIM, 'build.sh')], { cwd: app, env: { SKERRY_OUT: app, SKERRY_SRC: app, SKERRY_EXCLUDE: excludes, TMPDIR: home, HOME: home, ...env } });
  const file = path.join(app, '.skerry/revision.json');
  return { ...done, excluded: fs.readFileSync(excludes, 'utf8').split('\n').filter((line) => line !== ''), revision: fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : null };
}

const TOOL = { 'package.json': { name: 'tool', version: '1.2.3', bin: { tool: 'tool.js' } }, 'tool.js': "#!/usr/bin/env node\nrequire('fs').mkdirSync('dist');\nrequire('fs').copyFileSync('src.txt', 'dist/index.js');" };
const LIBRARY = { 'index.js': "module.exports = 'from the library';" };

test('dependencies are installed, development ones pruned, and the build finds both', async (t) => {
  const { asked, url } = await registry(t, { library: LIBRARY, tool: TOOL });
  const description = { main: 'dist/index.js', scripts: { build: 'tool' }, dependencies: { library: '^1.0.0', '@skerry/runtime': '*' }, devDependencies: { tool: '1.x', '@telnyx/edge-runtime': '^99.0.0' } };
  const app = project(t, { 'package.json': description, 'src.txt': "exports.handle = () => require('library') + typeof require('@skerry/runtime').env.SECRETS.get;" });
  const installed = await deps(t, app, { registryUrl: url });
  assert.strictEqual(installed.status, 0, installed.err);
  assert.deepStrictEqual(fs.readdirSync(path.join(installed.folder, 'node_modules')).sort(), ['.bin', '.package-lock.json', '@skerry', '@telnyx', 'library', 'tool']);
  assert.ok(!asked.some((name) => /skerry|telnyx/.test(name)), asked.join());

  const pruned = await run('sh', [path.join(SHIM, 'prune.sh')], { env: { SKERRY_MODULES: installed.folder } });
  assert.strictEqual(pruned.status, 0, pruned.err);
  const modules = project(t, {});
  await untar(modules, pruned.out);
  assert.deepStrictEqual(fs.readdirSync(path.join(modules, 'node_modules')).sort(), ['.bin', '@skerry', '@telnyx', 'library']);
  assert.deepStrictEqual(fs.readdirSync(path.join(modules, 'node_modules/.bin')), []);

  fs.cpSync(path.join(installed.folder, 'node_modules'), path.join(app, 'node_modules'), { recursive: true, verbatimSymlinks: true });
  const built = await build(t, app, { SKERRY_DEPS: '/app', SKERRY_MEMORY_MB: '256' });
  assert.strictEqual(built.status, 0, built.err);
  assert.deepStrictEqual(built.excluded, ['./telnyx-env.d.ts', './node_modules']);
  assert.deepStrictEqual(built.revision, { entry: 'dist/index.js', shape: 'handle', argv: ['node', '--max-old-space-size=192', '/skerry/shim/node/main.js'], env: ['NODE_ENV=production'] });

  fs.rmSync(path.join(app, 'node_modules'), { recursive: true });
  fs.cpSync(path.join(modules, 'node_modules'), path.join(app, 'node_modules'), { recursive: true });
  const shim = await startShim(t, app, { entry: built.revision.entry });
  assert.strictEqual((await ask(shim.socketPath)).body.toString(), 'from the libraryfunction');
});

test('a lock file is kept to, with the supplied packages in it', async (t) => {
  const { asked, url } = await registry(t, { library: LIBRARY, other: LIBRARY });
  const description = { name: 'a', version: '1.0.0', dependencies: { library: '^1.0.0' } };
  const made = project(t, { 'package.json': description });
  const locked = await run('npm', ['install', '--package-lock-only', '--no-audit', '--no-fund'], { cwd: made, env: { NPM_CONFIG_REGISTRY: url, NPM_CONFIG_CACHE: path.join(made, 'cache') } });
  assert.strictEqual(locked.status, 0, locked.err);
  const lock = JSON.parse(fs.readFileSync(path.join(made, 'package-lock.json'), 'utf8'));
  for (const group of [description.dependencies, lock.packages[''].dependencies]) group['@telnyx/edge-runtime'] = '^3.1.0';
  lock.packages['node_modules/@telnyx/edge-runtime'] = { version: '3.1.4', resolved: `${url}@telnyx/edge-runtime/-/edge-runtime-3.1.4.tgz`, integrity: 'sha512-none', dependencies: { orphan: '^1.0.0' } };
  lock.packages['node_modules/orphan'] = { version: '1.0.0', resolved: `${url}orphan/-/orphan-1.0.0.tgz`, integrity: 'sha512-none' };

  asked.length = 0;
  const app = project(t, { 'package.json': description, 'package-lock.json': lock });
  const installed = await deps(t, app, { registryUrl: url });
  assert.strictEqual(installed.status, 0, installed.err);
  assert.match(installed.err, /^npm ci$/m);
  assert.deepStrictEqual(asked, ['/library/-/library-1.2.3.tgz']);
  assert.deepStrictEqual(fs.readdirSync(path.join(installed.folder, 'node_modules')).sort(), ['.package-lock.json', '@telnyx', 'library']);

  fs.writeFileSync(path.join(app, 'package.json'), JSON.stringify({ ...description, dependencies: { library: '^1.0.0', other: '1.2.3' } }));
  const stale = await deps(t, app, { registryUrl: url });
  assert.strictEqual(stale.status, 1);
  assert.match(stale.err.trim().split('\n').at(-1), /^deps: npm ci failed: .*EUSAGE/);
});

test('supplied packages alone need no registry', async (t) => {
  const installed = await deps(t, project(t, { 'package.json': { dependencies: { '@telnyx/edge-runtime': 'latest' } } }));
  assert.strictEqual(installed.status, 0, installed.err);
  const { env } = require(path.join(installed.folder, 'node_modules/@telnyx/edge-runtime'));
  assert.strictEqual(typeof env.SECRETS.get, 'function');
  assert.strictEqual(JSON.parse(fs.readFileSync(path.join(installed.folder, 'node_modules/@telnyx/edge-runtime/package.json'))).name, '@telnyx/edge-runtime');
});

test('lifecycle scripts run, and what they and workspaces leave is kept', async (t) => {
  const app = project(t, {
    'package.json': { workspaces: ['packages/*'], scripts: { postinstall: 'mkdir -p made/deep && echo x > made/deep/file && echo y > src/new' }, devDependencies: {} },
    'src/old': '', 'packages/one/package.json': { name: 'one', version: '1.0.0' }, 'packages/one/index.js': 'module.exports = 1;',
  });
  const installed = await deps(t, app, { withSource: true });
  assert.strictEqual(installed.status, 0, installed.err);
  const there = (name) => fs.existsSync(path.join(installed.folder, name));
  assert.deepStrictEqual(['made/deep/file', 'src/new', 'src/old'].map(there), [true, true, false]);
  assert.strictEqual(fs.readlinkSync(path.join(installed.folder, 'node_modules/one')), '../packages/one');
  const pruned = await run('sh', [path.join(SHIM, 'prune.sh')], { env: { SKERRY_MODULES: installed.folder } });
  const kept = project(t, {});
  await untar(kept, pruned.out);
  assert.ok(fs.existsSync(path.join(kept, 'made/deep/file')) && fs.existsSync(path.join(kept, 'src/new')), pruned.err);
});

test('a local source is used before a registry is asked', async (t) => {
  const { asked, url } = await registry(t, { library: LIBRARY });
  const cache = project(t, {});
  const filled = await run('npm', ['cache', 'add', 'library@1.2.3'], { env: { NPM_CONFIG_REGISTRY: url, NPM_CONFIG_CACHE: cache } });
  assert.strictEqual(filled.status, 0, filled.err);
  asked.length = 0;
  const installed = await deps(t, project(t, { 'package.json': { dependencies: { library: '1.2.3' } } }), { registryUrl: url, env: { SKERRY_SOURCES: `/nowhere ${cache}` } });
  assert.strictEqual(installed.status, 0, installed.err);
  assert.deepStrictEqual(asked, []);
});

// The port of a listener whose queue is full: connections to it are never answered, as with a host that is gone.
async function fullListener(t) {
  const child = spawn('python3', ['-c', [
    'import socket, sys', 's = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(0)', 'held = []',
    'for _ in range(3):', '    c = socket.socket(); c.setblocking(False); c.connect_ex(s.getsockname()); held.append(c)',
    'print(s.getsockname()[1], flush=True); sys.stdin.read()',
  ].join('\n')], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  return Number(await new Promise((resolve) => child.stdout.once('data', resolve)));
}

test('a registry that does not answer is named within 20 s', async (t) => {
  const silent = net.createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1');
  await new Promise((resolve) => silent.once('listening', resolve));
  t.after(() => silent.close());
  const app = project(t, { 'package.json': { dependencies: { library: '1' } } });
  const began = Date.now();
  const { port } = silent.address();
  const full = await fullListener(t);
  const [mute, closed, lost] = await Promise.all([`http://127.0.0.1:${port}/`, 'http://127.0.0.1:9/', `http://127.0.0.1:${full}/`].map((registryUrl) => deps(t, app, { registryUrl })));
  assert.ok(Date.now() - began < 20_000, `${Date.now() - began} ms`);
  assert.strictEqual(mute.status, 1);
  assert.match(mute.err.trim().split('\n').at(-1), new RegExp(`^deps: the registry 127\\.0\\.0\\.1:${port} did not answer`));
  assert.match(closed.err.trim().split('\n').at(-1), /^deps: the registry 127\.0\.0\.1:9 did not answer \(ECONNREFUSED\)/);
  assert.match(lost.err.trim().split('\n').at(-1), new RegExp(`^deps: the registry 127\\.0\\.0\\.1:${full} did not answer \\(no connection within 7 s\\)`));
});

test('a package that is not there is the project\'s fault, by name', async (t) => {
  const { url } = await registry(t, {});
  const installed = await deps(t, project(t, { 'package.json': { dependencies: { 'no-such-thing': '1' } } }), { registryUrl: url });
  assert.match(installed.err.trim().split('\n').at(-1), /^deps: npm install failed: .*E404.*no-such-thing/);
});

test('a failing build says which step and how', async (t) => {
  const handler = { 'index.js': 'exports.handle = () => 1;' };
  const cases = [
    [{ scripts: { build: 'echo words; exit 3' } }, {}, /^build: npm run build failed \(exit status 3\)/],
    [{ scripts: { build: 'true' } }, { SKERRY_BUILD_COMMAND: 'false' }, /^build: false failed \(exit status 1\)/],
    [{ main: 'broken.js' }, {}, /^build: broken\.js: SyntaxError/],
    [{ main: 'missing.js' }, {}, /^build: missing\.js: Error: Cannot find module 'nothing-there'/],
    [{ main: 'nothing.js' }, {}, /^build: nothing\.js: no fetch\(request, env, ctx\) and no handle\(context, body\).*\$PORT \(it ran to its end\)/],
  ];
  for (const [description, env, wanted] of cases) {
    const app = project(t, { 'package.json': description, 'broken.js': 'exports.handle = (', 'missing.js': "require('nothing-there');", 'nothing.js': 'exports.hello = 1;', ...handler });
    const built = await build(t, app, env);
    assert.strictEqual(built.status, 1);
    assert.match(built.err.trim().split('\n').at(-1), wanted);
    assert.strictEqual(built.revision, null);
  }
});

test('a server of the author\'s own is recorded as it is started, with its health path', async (t) => {
  const app = project(t, {
    'package.json': { scripts: { start: 'node --no-warnings server.js --x' } },
    'server.js': "require('http').createServer((q, r) => { r.statusCode = q.url === '/health' ? 503 : 404; r.end(); }).listen(process.env.PORT);",
  });
  const built = await build(t, app, { SKERRY_MEMORY_MB: '128' });
  assert.deepStrictEqual(built.revision, {
    entry: 'server.js', shape: 'server', argv: ['node', '--max-old-space-size=64', '--no-warnings', '/app/server.js', '--x'], env: ['NODE_ENV=production'], health_path: '/health',
  }, built.err);
  const own = await build(t, project(t, { 'package.json': {} }), { SKERRY_OWN_SERVER: '1' });
  assert.deepStrictEqual(own.revision, { entry: '', shape: 'server', argv: [], env: ['NODE_ENV=production'] }, own.err);
});

test('what only misses a secret at build time is judged by its text, and said', async (t) => {
  const app = project(t, { 'package.json': {}, 'index.js': "if (!process.env.KEY) throw new Error('KEY is not set');\nmodule.exports = {\n  async handle(context) { return 1; },\n};" });
  const built = await build(t, app);
  assert.strictEqual(built.revision.shape, 'handle', built.err);
  assert.match(built.err, /warning: index\.js failed at build time \(Error: KEY is not set\); by its text .* "handle"/);
});

test('a build script that writes into node_modules takes them into the result, pruned', async (t) => {
  const app = project(t, {
    'package.json': { scripts: { build: 'mkdir -p node_modules/.generated && echo 1 > node_modules/.generated/client.js' } },
    'index.js': 'exports.handle = () => 1;', 'node_modules/library/index.js': '', 'node_modules/tool/index.js': '',
    'node_modules/.package-lock.json': { packages: { 'node_modules/library': {}, 'node_modules/tool': { dev: true } } },
  });
  const built = await build(t, app, { SKERRY_DEPS: '/app' });
  assert.strictEqual(built.status, 0, built.err);
  assert.deepStrictEqual(built.excluded, []);
  assert.deepStrictEqual(fs.readdirSync(path.join(app, 'node_modules')).sort(), ['.generated', 'library']);
});

test('bindings of the manifest are told to the function', async (t) => {
  const app = project(t, {
    'package.json': {}, 'index.js': 'exports.handle = () => 1;',
    'func.toml': '[edge_compute]\nfunc_name = "x"\n[storage.kv.CACHE] # a comment\nid = ""\n[storage.kv."ODD-NAME"]\n[telnyx]\nbinding = \'API\'\n[env_vars]\nGREETING = "Hello"\n',
  });
  const built = await build(t, app);
  assert.deepStrictEqual(built.revision.env, ['NODE_ENV=production', 'SKERRY_BINDING_NAMES={"kv":["CACHE","ODD-NAME"],"api":["API"]}'], built.err);
});
