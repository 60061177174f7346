'use strict';

// The stage `deps`, in place in /app: manifests as a tar at standard input, `node_modules` as a tar at standard output. SKERRY_SRC says that the whole project is
// there, because more than the manifests decides what is installed (workspaces, local packages, lifecycle scripts).

const fs = require('node:fs');
const path = require('node:path');

const { readInput, runStage, writeResult } = require('./stage.js');
const { install } = require('./npm.js');
const { BESIDE, GROUPS, putIn, readJson, takeOut } = require('./supplied.js');

const LIFECYCLE = ['preinstall', 'install', 'postinstall', 'preprepare', 'prepare', 'postprepare'];
const LOCAL = /^(file:|link:|workspace:|git|https?:|[./~])/;

// What there is for npm: {any, fromRegistry}.
function workOf(folder) {
  const { workspaces, scripts, ...description } = readJson(path.join(folder, 'package.json'));
  const specs = GROUPS.flatMap((group) => Object.values(description[group] || {}));
  const hooks = LIFECYCLE.some((name) => scripts && scripts[name] !== undefined);
  return { any: specs.length > 0 || workspaces !== undefined || hooks, fromRegistry: specs.some((spec) => !LOCAL.test(spec)) };
}

// Everything of the project outside of the top node_modules.
function* walk(folder, below = '') {
  for (const entry of fs.readdirSync(path.join(folder, below), { withFileTypes: true })) {
    const name = path.join(below, entry.name);
    if (name === 'node_modules' || name === 'package-lock.json') continue;
    yield name;
    if (entry.isDirectory()) yield* walk(folder, name);
  }
}

// What an install left beside: node_modules of workspaces, and what lifecycle scripts made. Without what is inside of such a folder.
function madeBeside(folder, before) {
  const made = [...walk(folder)].filter((name) => !before.has(name));
  return made.filter((name) => !made.includes(path.dirname(name)));
}

runStage('deps', async () => {
  // Where it will run, so that what install scripts write down of their place is true there.
  const work = process.env.SKERRY_WORK || '/app';
  if (!process.env.SKERRY_SRC) readInput(work);
  const before = process.env.SKERRY_SRC ? new Set(walk(work)) : null;
  const supplied = takeOut(work);
  const { any, fromRegistry } = workOf(work);
  if (any) await install(work, fromRegistry);
  fs.mkdirSync(path.join(work, 'node_modules'), { recursive: true });
  putIn(work, supplied);
  const beside = before === null ? [] : madeBeside(work, before);
  if (beside.length > 0) fs.writeFileSync(path.join(work, BESIDE), beside.join('\n'));
  writeResult(work, ['node_modules', ...beside]);
});
