'use strict';

// Loads the entry as the main module and reports its shape in one line on descriptor 3 (probe.js): `probe_child.js APP ENTRY [ARGUMENTS]`.
// Goes on running: a server is about to listen.

const fs = require('node:fs');

const { oneLine, printTrace } = require('./lib/failures.js');
const { loadMain, shapeOf } = require('./lib/load.js');

const REPORT = 3;
const TEXT_MAX_CHARACTERS = 2000;

function report(line) {
  try {
    fs.writeSync(REPORT, `${JSON.stringify(line)}\n`);
    fs.closeSync(REPORT);
  } catch {
    // The probe has seen enough.
  }
}

const [app, entry, ...args] = process.argv.slice(2);
loadMain(app, entry, args).then((exported) => {
  const found = shapeOf(exported);
  report({ shape: found === null ? null : found.shape });
}, (error) => {
  printTrace(error);
  const { code = '', name = '' } = error !== null && typeof error === 'object' ? error : {};
  report({ error: { text: oneLine(error).slice(0, TEXT_MAX_CHARACTERS), code: String(code), name: String(name) } });
  process.exit(1);
});
