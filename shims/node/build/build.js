'use strict';

// The stage `build`, in place in SKERRY_OUT (/app: the project over its dependencies): the build script, then what is to be started, written to
// .skerry/revision.json. /tmp/skerry-exclude names what of the folder is not part of the result.

const fs = require('node:fs');
const path = require('node:path');
const { spawnSync } = require('node:child_process');

const { StageFailed, run, runStage, say } = require('./stage.js');
const { npmEnvironment } = require('./npm.js');
const { bindingNames, packageTypes, projectTypes, readBindings } = require('./bindings.js');
const { removeUnneeded } = require('./prune.js');
const { placed, readJson } = require('./supplied.js');
const { probe } = require('../probe.js');

const SHIM = '/skerry/shim/node/main.js';
const RUN_FOLDER = '/app';
const MAX_PROJECT_TYPES_BYTES = 1 << 20;

const app = path.resolve(process.env.SKERRY_OUT || '/app');
const excludeFile = process.env.SKERRY_EXCLUDE || '/tmp/skerry-exclude';
const exclude = (name) => fs.appendFileSync(excludeFile, `./${name}\n`);

// ---- types

function writeTypes(bindings) {
  const hasTelnyx = fs.existsSync(path.join(app, 'node_modules/telnyx/package.json'));
  const folders = placed(app);
  for (const folder of folders) replace(path.join(folder, 'env.d.ts'), packageTypes(bindings, hasTelnyx));
  const file = path.join(app, 'telnyx-env.d.ts');
  // One that the author wrote, or that another tool generated, stays.
  if (folders.length === 0 || fs.existsSync(file)) return;
  fs.writeFileSync(file, projectTypes(bindings, hasTelnyx, folders.map((folder) => path.relative(path.join(app, 'node_modules'), folder))));
  exclude('telnyx-env.d.ts');
}

// A new file: the old one may be of a layer that this user cannot write into.
function replace(file, text) {
  if (text.length > MAX_PROJECT_TYPES_BYTES) throw new StageFailed(`${path.basename(file)} would be larger than 1 MB`);
  try {
    fs.rmSync(file, { force: true });
    fs.writeFileSync(file, text);
  } catch (error) {
    say(`the types of the bindings are not generated: ${error.message}`);
  }
}

// ---- the build script

// ['what is run', command, args] or null.
function buildStep(description) {
  if (process.env.SKERRY_BUILD_COMMAND) return [process.env.SKERRY_BUILD_COMMAND, 'sh', ['-c', process.env.SKERRY_BUILD_COMMAND]];
  if (description.scripts && typeof description.scripts.build === 'string') return ['npm run build', 'npm', ['run', 'build']];
  const isTypeScript = fs.existsSync(path.join(app, 'tsconfig.json'));
  const hasCompiler = ['devDependencies', 'dependencies'].some((group) => description[group] && description[group].typescript !== undefined);
  if (isTypeScript && hasCompiler) return ['tsc', path.join(app, 'node_modules/.bin/tsc'), []];
  return null;
}

function runBuildStep(description) {
  const step = buildStep(description);
  if (step === null) return false;
  const [name, command, args] = step;
  say(name);
  const env = npmEnvironment();
  env.PATH = `${path.join(app, 'node_modules/.bin')}:${env.PATH}`;
  const { status } = run(command, args, { cwd: app, env });
  if (status !== 0) throw new StageFailed(`${name} failed (${typeof status === 'number' ? `exit status ${status}` : status})`);
  return true;
}

// Whether the build script wrote into node_modules (code generators do): then the installed tree is not what runs.
function changedModules(since) {
  const modules = path.join(app, 'node_modules');
  if (!fs.existsSync(modules)) return false;
  const found = spawnSync('find', [modules, '-name', '.cache', '-prune', '-o', '-name', '.package-lock.json', '-o', '-name', 'env.d.ts', '-o', '-type', 'f', '-newer', since, '-print', '-quit'],
    { encoding: 'utf8' });
  return found.status === 0 && found.stdout !== '';
}

// ---- what is started

function heapFlags(flags) {
  const memoryMb = Number(process.env.SKERRY_MEMORY_MB || 0);
  if (memoryMb === 0 || flags.some((flag) => /^--max[-_]old[-_]space[-_]size/.test(flag))) return [];
  // Node sizes its heap by the machine. A quarter, at least 64 MB, is for everything outside of the old space: young space, buffers, code, stacks.
  return [`--max-old-space-size=${Math.max(32, memoryMb - Math.max(64, Math.ceil(memoryMb / 4)))}`];
}

async function describeRevision(bindings) {
  const names = bindingNames(bindings);
  const env = ['NODE_ENV=production', ...(names === '' ? [] : [`SKERRY_BINDING_NAMES=${names}`])];
  if (process.env.SKERRY_OWN_SERVER) return { entry: '', shape: 'server', argv: [], env };
  const { entry, shape, flags, args, health_path: health } = await probe(app);
  const start = shape === 'server' ? path.posix.join(RUN_FOLDER, entry) : SHIM;
  return { entry, shape, argv: ['node', ...heapFlags(flags), ...flags, start, ...args], env, ...(health ? { health_path: health } : {}) };
}

runStage('build', async () => {
  const description = readJson(path.join(app, 'package.json'));
  if (description === null) throw new StageFailed('package.json is missing: `npm init` makes it');
  if (typeof description !== 'object' || Array.isArray(description)) throw new StageFailed('package.json must be an object');
  const bindings = readBindings(app);
  writeTypes(bindings);
  fs.mkdirSync(path.join(app, '.skerry'), { recursive: true });
  const stamp = path.join(require('node:os').tmpdir(), `skerry-stamp-${process.pid}`);
  fs.writeFileSync(stamp, '');
  const built = runBuildStep(description);
  if (built && changedModules(stamp)) removeUnneeded(app);
  // The dependencies are a layer of their own.
  else if (process.env.SKERRY_DEPS) exclude('node_modules');
  const revision = await describeRevision(bindings);
  fs.writeFileSync(path.join(app, '.skerry', 'revision.json'), `${JSON.stringify(revision)}\n`);
});
