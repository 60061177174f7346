'use strict';

// For the tests: projects in temporary folders, and child processes with the descriptors that the platform gives.

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');
const { spawn } = require('node:child_process');

const SHIM = path.join(__dirname, '..');
const LIMIT_MS = 60_000;

// A folder with these files ({name: text}), removed after the test `t`.
function project(t, files) {
  const folder = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), 'skerry-node-')));
  t.after(() => fs.rmSync(folder, { recursive: true, force: true }));
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), typeof text === 'string' ? text : JSON.stringify(text));
  }
  return folder;
}

// Runs a program to its end: {status, out (Buffer), err}.
function run(command, args, { env = {}, input = Buffer.alloc(0), cwd, extra = [] } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env: { PATH: process.env.PATH, HOME: os.tmpdir(), TMPDIR: os.tmpdir(), ...env }, stdio: ['pipe', 'pipe', 'pipe', ...extra], timeout: LIMIT_MS, killSignal: 'SIGKILL' });
    const out = [];
    const err = [];
    child.stdout.on('data', (part) => out.push(part));
    child.stderr.on('data', (part) => err.push(part));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
    child.on('error', reject).on('close', (status, signal) => resolve({ status: status ?? signal, out: Buffer.concat(out), err: Buffer.concat(err).toString() }));
  });
}

// Starts the shim over an inherited listening socket: {socketPath, status() -> lines, child}. Ended after the test.
async function startShim(t, app, { env = {}, entry, args = [] } = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'skerry-node-'));
  const socketPath = path.join(folder, 'fn.sock');
  const listener = net.createServer().listen(`${socketPath}.made`);
  await new Promise((resolve) => listener.once('listening', resolve));
  const child = spawn(process.execPath, [path.join(SHIM, 'main.js'), ...args], {
    cwd: app, stdio: ['ignore', 'pipe', 'pipe', listener._handle.fd, 'pipe'],
    env: { PATH: process.env.PATH, NODE_ENV: 'production', PORT: '8080', SKERRY_APP_DIR: app, ...(entry ? { SKERRY_ENTRY: entry } : {}), ...env },
  });
  const text = { out: '', err: '', status: '' };
  child.stdout.on('data', (part) => { text.out += part; });
  child.stderr.on('data', (part) => { text.err += part; });
  child.stdio[4].on('data', (part) => { text.status += part; });
  const exited = new Promise((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)));
  const settled = new Promise((resolve) => child.stdio[4].once('close', resolve));
  // This process must not take the connections; closing removes the name that it listened at.
  fs.renameSync(`${socketPath}.made`, socketPath);
  listener.close();
  t.after(async () => {
    child.kill('SIGKILL');
    await exited;
    fs.rmSync(folder, { recursive: true, force: true });
  });
  await settled;
  return { socketPath, child, exited, text, status: () => text.status.trim().split('\n').map((line) => JSON.parse(line)) };
}

// One request: {status, headers, body}.
function ask(socketPath, { method = 'GET', path: target = '/', headers = {}, body } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ socketPath, method, path: target, headers: { 'x-request-id': 'req-1', ...headers }, agent: false }, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(pieces) }));
      answer.on('error', reject);
    });
    request.on('error', reject);
    request.end(body);
  });
}

module.exports = { SHIM, ask, project, run, startShim };
