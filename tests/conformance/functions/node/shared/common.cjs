'use strict';

// What the projects `handle` and `fetch` share: gates, the pattern, and the answers that are plain values.

const { createHash } = require('node:crypto');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const gates = new Map(); // name -> {count, waiting: []}

function gate(name) {
  if (!gates.has(name)) gates.set(name, { count: 0, waiting: [] });
  return gates.get(name);
}

function passGate(name) {
  const found = gate(name);
  if (found.count > 0) {
    found.count--;
    return Promise.resolve();
  }
  return new Promise((resolve) => found.waiting.push(resolve));
}

function openGate(name) {
  const found = gate(name);
  if (found.waiting.length > 0) found.waiting.shift()();
  else found.count++;
}

const UNIT = Buffer.from(Array.from({ length: 251 }, (_, at) => at));

function pattern(start, size) {
  const offset = start % 251;
  return Buffer.alloc(size, Buffer.concat([UNIT.subarray(offset), UNIT.subarray(0, offset)]));
}

function* patternPieces(size) {
  for (let start = 0; start < size; start += 65536) yield pattern(start, Math.min(65536, size - start));
}

async function* streamPieces(query) {
  try {
    for (let number = 0; number < Number(query.n); number++) {
      if (number > 0) await passGate(query.gate);
      yield Buffer.from(`piece ${number}\n`);
    }
  } finally {
    console.log(`stream end ${query.gate}`);
  }
}

async function* failingPieces() {
  yield Buffer.from('partial\n');
  throw new Error('conformance after');
}

function digest(bytes) {
  return { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

// Into a file: node makes the pipes of a child out of socket pairs, and sockets are what is looked for.
function descriptors() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'descriptors-'));
  const file = path.join(folder, 'list');
  const out = fs.openSync(file, 'w');
  try {
    spawnSync('/bin/sh', ['-c', 'for f in /proc/$$/fd/*; do readlink "$f"; done'], { stdio: ['ignore', out, 'inherit'] });
    return fs.readFileSync(file, 'utf8');
  } finally {
    fs.closeSync(out);
    fs.rmSync(folder, { recursive: true });
  }
}

async function wait(query) {
  console.log(`wait begin ${query.gate}`);
  await passGate(query.gate);
  console.log(`wait end ${query.gate}`);
}

async function told(query, signal) {
  console.log(`told waiting ${query.id}`);
  await new Promise((resolve) => (signal.aborted ? resolve() : signal.addEventListener('abort', resolve, { once: true })));
  console.log(`told ${query.id}`);
  await passGate(query.id);
  console.log(`told returned ${query.id}`);
}

async function print(query) {
  console.log(query.out);
  console.error(query.err);
  await passGate(query.gate);
}

const environment = () => ({ env: { ...process.env }, cwd: process.cwd() });

const REPEATED = [['content-type', 'text/plain'], ['x-repeated', 'one'], ['x-repeated', 'two'], ['set-cookie', 'a=1; Path=/'], ['set-cookie', 'b=2, c; Path=/']];

module.exports = { createHash, passGate, openGate, pattern, patternPieces, streamPieces, failingPieces, digest, descriptors, wait, told, print, environment, REPEATED };
