'use strict';

// The packages that the platform supplies under two names (../runtime): taken out of a project's manifests before npm sees them, so that no registry is asked for
// any version of them, and put into node_modules after.

const fs = require('node:fs');
const path = require('node:path');

const { StageFailed } = require('./stage.js');

const NAMES = ['@skerry/runtime', '@telnyx/edge-runtime'];
const GROUPS = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'];
const RUNTIME = path.join(__dirname, '..', 'runtime');
const FILES = ['index.js', 'client.js', 'index.d.ts', 'env.d.ts'];

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8').replace(/^\ufeff/, ''));
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    throw new StageFailed(`${path.basename(file)}: ${error.message}`);
  }
}

function without(description) {
  const taken = new Set();
  for (const group of GROUPS) {
    const wanted = description[group];
    if (wanted === null || typeof wanted !== 'object') continue;
    for (const name of NAMES) {
      if (!Object.hasOwn(wanted, name)) continue;
      taken.add(name);
      delete wanted[name];
    }
  }
  return taken;
}

// Rewrites package.json and the lock files of a working copy. Returns what is to be supplied.
function takeOut(folder) {
  const file = path.join(folder, 'package.json');
  const description = readJson(file);
  if (description === null || typeof description !== 'object' || Array.isArray(description)) throw new StageFailed('package.json must be an object');
  const taken = without(description);
  if (taken.size === 0) return taken;
  fs.writeFileSync(file, JSON.stringify(description, null, 2));
  for (const name of ['package-lock.json', 'npm-shrinkwrap.json']) takeOutOfLock(path.join(folder, name));
  return taken;
}

function takeOutOfLock(file) {
  const lock = readJson(file);
  if (lock === null) return;
  if (lock.packages !== null && typeof lock.packages === 'object') {
    if (lock.packages[''] !== undefined) without(lock.packages['']);
    for (const place of Object.keys(lock.packages)) if (NAMES.some((name) => place === `node_modules/${name}`)) delete lock.packages[place];
  }
  // Lock files of npm 6, and the part that version 2 keeps for them.
  if (lock.dependencies !== null && typeof lock.dependencies === 'object') for (const name of NAMES) delete lock.dependencies[name];
  fs.writeFileSync(file, JSON.stringify(lock, null, 2));
}

// Puts the packages into `<folder>/node_modules`.
function putIn(folder, names) {
  for (const name of names) {
    const target = path.join(folder, 'node_modules', name);
    fs.rmSync(target, { recursive: true, force: true });
    fs.mkdirSync(target, { recursive: true });
    for (const file of FILES) fs.copyFileSync(path.join(RUNTIME, file), path.join(target, file));
    const description = readJson(path.join(RUNTIME, 'package.json'));
    fs.writeFileSync(path.join(target, 'package.json'), JSON.stringify({ ...description, name }, null, 2));
  }
}

// The supplied packages that are in `<folder>/node_modules`, as folders.
function placed(folder) {
  return NAMES.map((name) => path.join(folder, 'node_modules', name)).filter((target) => fs.existsSync(path.join(target, 'env.d.ts')));
}

// Names what an install left outside of the top node_modules, one path a line; `prune` keeps it.
const BESIDE = 'node_modules/.skerry-beside';

module.exports = { BESIDE, GROUPS, placed, putIn, readJson, takeOut };
