'use strict';
// Decides a project's entry and shape once, at build: `node probe.js FOLDER` prints {"entry","shape","flags"}. A module that begins to listen is a server.
const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');
const { load } = require('./load.js');
const { find } = require('./shapes.js');

const LISTEN_MS = 5000;
const app = process.argv[2];

function entryOf() {
  const manifest = JSON.parse(fs.readFileSync(path.join(app, 'package.json'), 'utf8'));
  const start = /^node\s+((?:-\S+\s+)*)(\S+)\s*$/.exec((manifest.scripts && manifest.scripts.start) || '');
  const candidates = [];
  if (start) candidates.push([start[2], start[1].trim().split(/\s+/).filter(Boolean)]);
  if (manifest.main) candidates.push([manifest.main, []]);
  candidates.push(['index.js', []], ['dist/index.js', []]);
  for (const [file, flags] of candidates) {
    for (const name of [file, `${file}.js`, path.join(file, 'index.js')]) {
      const full = path.join(app, name);
      if (full.startsWith(app + path.sep) && fs.existsSync(full) && fs.statSync(full).isFile()) return [path.relative(app, full), flags];
    }
  }
  throw new Error('no entry: none of scripts.start `node FILE`, main, index.js, dist/index.js names a file that is there');
}

function done(entry, shape, flags) {
  process.stdout.write(JSON.stringify({ entry, shape, flags }) + '\n', () => process.exit(0));
}

async function main() {
  const [entry, flags] = entryOf();
  const print = console.log;
  console.log = console.info = console.error; // the answer alone goes to standard output
  void print;
  let listening = false;
  const listen = net.Server.prototype.listen;
  net.Server.prototype.listen = function (...args) {
    listening = true;
    return listen.apply(this, args);
  };
  process.env.PORT = process.env.PORT || '8080';
  const loaded = await load(app, entry);
  const found = find(loaded);
  if (found) return done(entry, found.shape, flags);
  const end = Date.now() + LISTEN_MS;
  while (!listening && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  if (listening) return done(entry, 'server', flags);
  throw new Error('no handler: the module exports neither `fetch` nor `handle` (or a function), and nothing began to listen on $PORT');
}

main().catch((error) => {
  console.error(error instanceof Error ? error.stack : String(error));
  process.exit(1);
});
