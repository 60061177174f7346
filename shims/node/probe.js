'use strict';

// Decides the shape of a project once, at build: `node probe.js` in its folder prints one line of JSON {entry, shape, flags, args, health_path?}.
//
// Runs in the build's sandbox. A child process loads the entry exactly as the shim does and reports what its exports are (probe_child.js); where they are nothing
// that the contract names, this waits for something to listen on $PORT, and then asks the health paths. Everything that the child started is killed at the end.

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { spawn } = require('node:child_process');

const { findEntry } = require('./lib/entry.js');
const { StartFailed } = require('./lib/failures.js');
const { NO_SHAPE } = require('./lib/load.js');

// CONTRACT section 6, start_timeout.
const START_TIMEOUT_MS = 20_000;
const CONNECT_EVERY_MS = 25;
const HEALTH_TIMEOUT_MS = 3000;
const HEALTH_PATHS = ['/health/readiness', '/health'];
const PREFERRED_PORT = 8080;
const REPORT_MAX_BYTES = 64 * 1024;
const SOURCE_MAX_BYTES = 1 << 20;

async function probe(app, { timeoutMs = START_TIMEOUT_MS } = {}) {
  const found = findEntry(app);
  const port = await freePort();
  const child = start(app, found, port);
  const deadline = Date.now() + timeoutMs;
  try {
    const result = await observe(app, found, child, port, deadline);
    return { entry: found.entry, shape: result.shape, flags: found.flags, args: found.args, ...(result.health ? { health_path: result.health } : {}) };
  } finally {
    child.end();
  }
}

// ---- the child

function start(app, { entry, flags, args }, port) {
  const env = {
    PATH: process.env.PATH, HOME: process.env.HOME || '/home/fn', USER: 'fn', TMPDIR: process.env.TMPDIR || '/tmp', LANG: 'C.UTF-8', TZ: 'UTC',
    HOSTNAME: 'build', NODE_ENV: 'production', PORT: String(port), SKERRY_FUNCTION: 'build', SKERRY_REVISION: 'build', SKERRY_LOCATION: 'build', SKERRY_INSTANCE: 'build',
    K_SERVICE: 'build', K_CONFIGURATION: 'build', K_REVISION: 'build',
  };
  // Its output goes to the build's log. A process group of its own: what the entry starts is ended with it.
  const child = spawn(process.execPath, [...flags, path.join(__dirname, 'probe_child.js'), app, entry, ...args], { cwd: app, env, stdio: ['ignore', 2, 2, 'pipe'], detached: true });
  let text = '';
  const reported = new Promise((resolve) => {
    child.stdio[3].setEncoding('utf8').on('data', (part) => {
      text += part;
      if (text.length > REPORT_MAX_BYTES) child.stdio[3].destroy();
      if (text.includes('\n')) resolve(parse(text.slice(0, text.indexOf('\n'))));
    }).on('error', () => resolve(null)).on('close', () => resolve(null));
  });
  const exited = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })).once('error', (error) => resolve({ error })));
  const end = () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // All of them are gone already.
    }
    child.stdio[3].destroy();
    child.unref();
  };
  return { reported, exited, end };
}

// SECURITY: the line is written beside hostile code. Only its known fields are taken, as text.
function parse(line) {
  try {
    const { shape, error } = JSON.parse(line);
    if (error && typeof error === 'object') return { shape: null, error: { text: String(error.text), code: String(error.code), name: String(error.name) } };
    return { shape: shape === 'fetch' || shape === 'handle' ? shape : null };
  } catch {
    return null;
  }
}

const LATE = Symbol('late');

async function observe(app, found, child, port, deadline) {
  let stop = false;
  const listening = untilListening(port, () => stop);
  try {
    // What the exports say comes first; a listener counts only where they say nothing.
    const report = await Promise.race([child.reported, child.exited.then(() => child.reported), after(deadline)]);
    if (report === LATE) {
      const host = await Promise.race([listening, Promise.resolve(null)]);
      if (host !== null) return { shape: 'server', health: await healthPath(host, port) };
      throw new StartFailed(`${found.entry} did not finish loading within ${START_TIMEOUT_MS / 1000} s, and nothing listens on $PORT`);
    }
    if (report === null || report.error) return guess(app, found, report);
    if (report.shape !== null) return { shape: report.shape };
    const host = await Promise.race([listening, child.exited.then(() => null), after(deadline)]);
    if (host !== null && host !== LATE) return { shape: 'server', health: await healthPath(host, port) };
    throw new StartFailed(`${found.entry}: ${NO_SHAPE}${host === null ? ' (it ran to its end)' : ` within ${START_TIMEOUT_MS / 1000} s`}`);
  } finally {
    stop = true;
  }
}

// ---- a project that cannot be loaded here

// Loading failed. Where the code itself is broken the build fails; where it may only miss what the function will have (secrets, a database), its text decides.
function guess(app, found, report) {
  const error = report === null ? null : report.error;
  if (error !== null && (error.name === 'SyntaxError' || error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND')) {
    throw new StartFailed(`${found.entry}: ${error.text}`);
  }
  const reason = error === null ? 'ended while it was loaded' : `failed at build time (${error.text})`;
  const file = path.join(app, found.entry);
  const source = fs.statSync(file).size <= SOURCE_MAX_BYTES ? fs.readFileSync(file, 'utf8') : '';
  const shape = shapeOfText(source);
  if (shape === null) throw new StartFailed(`${found.entry} ${reason}; it must load without secrets and services for its shape to be seen: ${NO_SHAPE}`);
  process.stderr.write(`warning: ${found.entry} ${reason}; by its text it is taken for a function of the shape "${shape}"\n`);
  return { shape };
}

function shapeOfText(source) {
  const text = source.replace(/\/\*[\s\S]*?\*\/|(^|\s)\/\/[^\n]*/g, '$1');
  const exportsName = (name) => new RegExp(
    `exports\\s*\\.\\s*${name}\\s*=|export\\s+(async\\s+)?(function\\s*\\*?|const|let|var)\\s+${name}\\b|export\\s*\\{[^}]*\\b${name}\\b|` +
    `(module\\s*\\.\\s*exports\\s*=|export\\s+default)\\s*\\{[\\s\\S]*\\b${name}\\b`).test(text);
  if (exportsName('fetch')) return 'fetch';
  if (exportsName('handle')) return 'handle';
  if (/(module\s*\.\s*exports\s*=|export\s+default)\s*(async\s*)?(function\b|\([^)]*\)\s*=>|\w+\s*=>)/.test(text)) return 'handle';
  return /\.\s*listen\s*\(|\bserve\s*\(/.test(text) ? 'server' : null;
}

// ---- the port

function after(deadline) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, deadline - Date.now()), LATE).unref());
}

function freePort() {
  const attempt = (port) => new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject).listen(port, () => {
      const { port: got } = server.address();
      server.close(() => resolve(got));
    });
  });
  return attempt(PREFERRED_PORT).catch(() => attempt(0));
}

// The address at which something accepts.
async function untilListening(port, stopped) {
  while (!stopped()) {
    for (const host of ['127.0.0.1', '::1']) if (await accepts(host, port)) return host;
    await new Promise((resolve) => setTimeout(resolve, CONNECT_EVERY_MS));
  }
  return null;
}

function accepts(host, port) {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port });
    const end = (answer) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}

// The first health path that answers 2xx or 503 (CONTRACT, Readiness), or undefined.
async function healthPath(host, port) {
  for (const name of HEALTH_PATHS) {
    const status = await ask(host, port, name);
    if ((status >= 200 && status <= 299) || status === 503) return name;
  }
  return undefined;
}

function ask(host, port, name) {
  return new Promise((resolve) => {
    const request = require('node:http').get({ host, port, path: name, agent: false, timeout: HEALTH_TIMEOUT_MS }, (answer) => {
      resolve(answer.statusCode);
      request.destroy();
    });
    request.on('timeout', () => request.destroy()).on('error', () => resolve(0));
  });
}

if (require.main === module) {
  probe(process.cwd()).then((result) => process.stdout.write(`${JSON.stringify(result)}\n`), (error) => {
    process.stderr.write(`${error instanceof StartFailed ? error.message : error.stack}\n`);
    process.exitCode = 1;
  });
}

module.exports = { probe, shapeOfText };
