'use strict';

// Which file of a project is its entry, and what `node` is told besides (CONTRACT section 2). Called by the build's probe; the shim itself calls it only when it
// was started by hand. Reads package.json and looks whether files are there; runs nothing.

const fs = require('node:fs');
const path = require('node:path');

const { StartFailed } = require('./failures.js');

const FALLBACKS = ['index.js', 'dist/index.js'];
const PACKAGE_MAX_BYTES = 1 << 20;

// Flags of node that take the next word where they have no `=`.
const FLAGS_WITH_VALUE = new Set(['-r', '--require', '--import', '--loader', '--experimental-loader', '-C', '--conditions', '--env-file', '--title',
  '--icu-data-dir', '--openssl-config', '--max-http-header-size', '--unhandled-rejections', '--stack-trace-limit', '--dns-result-order',
  '--disable-warning', '--input-type', '--trace-event-categories']);
// They run no file, or make node a parent of the process that runs it: neither is an entry.
const FLAGS_WITHOUT_FILE = /^(-e|-p|-pe|-c|-i|--eval|--print|--check|--interactive|--test|--run|-h|--help|-v|--version)(=|$)/;
// Tools of development: a watcher or a debugger has nothing to do in an instance.
const FLAGS_DROPPED = /^--(watch|watch-path|watch-preserve-output|inspect|inspect-brk|inspect-port|inspect-wait)(=|$)/;

function readPackage(app) {
  const file = path.join(app, 'package.json');
  let text;
  try {
    if (fs.statSync(file).size > PACKAGE_MAX_BYTES) throw new StartFailed('package.json is larger than 1 MB');
    text = fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return {};
    throw error;
  }
  let content;
  try {
    content = JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
  } catch (error) {
    throw new StartFailed(`package.json: ${error.message}`);
  }
  if (content === null || typeof content !== 'object' || Array.isArray(content)) throw new StartFailed('package.json: must be an object');
  return content;
}

// {file, flags, args} of `node [flags] FILE [args]`, or null for every other command: those are ignored.
function parseStart(command) {
  if (typeof command !== 'string' || /[;&|<>$`\\()\n]/.test(command)) return null;
  const words = (command.match(/"[^"]*"|'[^']*'|[^\s"']+/g) || []).map((word) => word.replace(/^(["'])(.*)\1$/s, '$2'));
  if (words[0] !== 'node') return null;
  const flags = [];
  let at = 1;
  for (; at < words.length && words[at].startsWith('-'); at++) {
    if (words[at] === '--') {
      at++;
      break;
    }
    if (FLAGS_WITHOUT_FILE.test(words[at])) return null;
    const taken = FLAGS_WITH_VALUE.has(words[at]) && at + 1 < words.length ? [words[at], words[++at]] : [words[at]];
    if (!FLAGS_DROPPED.test(taken[0])) flags.push(...taken);
  }
  if (at >= words.length) return null;
  return { file: words[at], flags, args: words.slice(at + 1) };
}

function isFile(file) {
  try {
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

// As node finds a main module: the file, the file with an extension, the folder's own main.
function resolveFile(app, name) {
  const base = path.resolve(app, name);
  for (const file of [base, `${base}.js`, `${base}.mjs`, `${base}.cjs`]) if (isFile(file)) return file;
  if (base !== path.resolve(app)) {
    const main = readPackage(base).main;
    for (const file of [main, `${main}.js`, 'index.js']) if (typeof file === 'string' && isFile(path.join(base, file))) return path.join(base, file);
  }
  return null;
}

function below(app, file, said) {
  const relative = path.relative(path.resolve(app), file);
  if (relative.startsWith('..') || path.isAbsolute(relative)) throw new StartFailed(`${said} leads out of the project`);
  if (/\.(ts|mts|cts|tsx)$/.test(relative)) {
    throw new StartFailed(`${said} is TypeScript, which Node.js does not run: add a build script, or typescript to devDependencies and a tsconfig.json, and name its output`);
  }
  return relative;
}

// {entry, flags, args}: `entry` is a path below `app`. Throws StartFailed that tells what was looked for.
function findEntry(app) {
  const description = readPackage(app);
  const looked = [];
  const start = parseStart(description.scripts && description.scripts.start);
  if (start !== null && start.file !== '.' && start.file !== './') {
    const file = resolveFile(app, start.file);
    if (file === null) throw new StartFailed(`no entry: scripts.start runs ${start.file}, which is not there`);
    return { entry: below(app, file, `scripts.start (${start.file})`), flags: start.flags, args: start.args };
  }
  const flags = start === null ? [] : start.flags;
  const args = start === null ? [] : start.args;
  if (typeof description.main === 'string' && description.main !== '') {
    const file = resolveFile(app, description.main);
    if (file !== null) return { entry: below(app, file, `main (${description.main})`), flags, args };
    looked.push(`main (${description.main})`);
  }
  for (const name of FALLBACKS) {
    const file = path.join(app, name);
    if (isFile(file)) return { entry: name, flags, args };
    looked.push(name);
  }
  throw new StartFailed(`no entry: none of ${looked.join(', ')} is there, and scripts.start is not \`node FILE\``);
}

module.exports = { findEntry, parseStart, readPackage };
