'use strict';

// The second half of the stage `deps`: `node_modules` of the full install (at SKERRY_MODULES, /app) without what only the build needed, as a tar at standard output.
//
// Like `npm prune --omit=dev`, but from npm's own record in node_modules/.package-lock.json, which says of each package whether only development wants it: no
// copy of the tree, no npm, no registry.

const fs = require('node:fs');
const path = require('node:path');

const { runStage, writeResult } = require('./stage.js');
const { BESIDE } = require('./supplied.js');

const RECORD = 'node_modules/.package-lock.json';

// Folders below `app` that only development wants, without those inside of another one.
function developmentOnly(app) {
  let record;
  try {
    record = JSON.parse(fs.readFileSync(path.join(app, RECORD), 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return []; // npm had nothing to install
    throw error;
  }
  const places = Object.entries(record.packages || {}).filter(([, entry]) => entry.dev === true).map(([place]) => place).sort();
  return places.filter((place) => !places.some((other) => place.startsWith(`${other}/`)));
}

// Commands in node_modules/.bin that lead into a folder that goes.
function deadCommands(app, gone) {
  const bin = path.join(app, 'node_modules', '.bin');
  if (!fs.existsSync(bin)) return [];
  return fs.readdirSync(bin).filter((name) => {
    try {
      const target = path.relative(app, path.resolve(bin, fs.readlinkSync(path.join(bin, name))));
      return gone.some((place) => target === place || target.startsWith(`${place}/`));
    } catch {
      return false; // no link
    }
  }).map((name) => path.join('node_modules', '.bin', name));
}

// What to leave out, as paths below `app`.
function unneeded(app) {
  const gone = developmentOnly(app);
  return gone.length === 0 ? [] : [...gone, ...deadCommands(app, gone), RECORD, 'node_modules/.cache'];
}

function removeUnneeded(app) {
  for (const name of unneeded(app)) fs.rmSync(path.join(app, name), { recursive: true, force: true });
}

if (require.main === module) {
  runStage('deps', () => {
    const app = process.env.SKERRY_MODULES || '/app';
    const list = path.join(app, BESIDE);
    const beside = fs.existsSync(list) ? fs.readFileSync(list, 'utf8').split('\n') : [];
    writeResult(app, ['node_modules', ...beside], unneeded(app));
  });
}

module.exports = { removeUnneeded };
