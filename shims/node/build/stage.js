'use strict';

// What the stages of a build share: how one fails, and how one runs a tool. A stage's standard error is the build's log; its standard output is its result.

const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

// The whole story for the author; no trace.
class StageFailed extends Error {}

// Runs a stage's body and makes its failure the last line of the log: "<stage>: <what>".
async function runStage(stage, body) {
  try {
    await body();
  } catch (error) {
    const known = error instanceof StageFailed || error.name === 'StartFailed';
    process.stderr.write(`${stage}: ${known ? error.message : error.stack}\n`);
    process.exitCode = 1;
  }
}

function say(text) {
  process.stderr.write(`${text}\n`);
}

// Runs a tool with its words in the log. {status, tail}: the tail is kept where `keep` is set, to explain a failure.
function run(command, args, { cwd, env = process.env, keep = false, quiet = false } = {}) {
  const done = spawnSync(command, args, { cwd, env, stdio: ['ignore', keep ? 'pipe' : 2, keep ? 'pipe' : 2], maxBuffer: 64 << 20 });
  if (done.error) throw new StageFailed(`${command}: ${done.error.message}`);
  const tail = keep ? Buffer.concat([done.stdout, done.stderr]).toString('utf8') : '';
  if (keep && !quiet) process.stderr.write(tail);
  return { status: done.status === null ? `signal ${done.signal}` : done.status, tail };
}

// Writes a tar of `paths` (below `folder`) to standard output: the stage's result. The same tree gives the same bytes.
function writeResult(folder, paths, excluded = []) {
  const list = path.join(fs.mkdtempSync(path.join(require('node:os').tmpdir(), 'skerry-result-')), 'paths');
  fs.writeFileSync(list, paths.map((name) => `./${name}\0`).join(''));
  const args = ['-C', folder, '--sort=name', '--mtime=@1704067200', '--anchored', '--no-wildcards', ...excluded.map((name) => `--exclude=./${name}`),
    '--null', '--verbatim-files-from', '-T', list, '-cf', '-'];
  const done = spawnSync('tar', args, { stdio: ['ignore', 'inherit', 'inherit'] });
  if (done.error || done.status !== 0) throw new StageFailed(`tar failed: ${done.error ? done.error.message : done.status}`);
}

// Unpacks the manifests that the pipeline gives at standard input. Only a tar that control itself made.
function readInput(folder) {
  fs.mkdirSync(folder, { recursive: true });
  const done = spawnSync('tar', ['-C', folder, '-xf', '-'], { stdio: ['inherit', 'ignore', 'inherit'] });
  if (done.error || done.status !== 0) throw new StageFailed(`the input is no tar: ${done.error ? done.error.message : done.status}`);
}

module.exports = { StageFailed, readInput, run, runStage, say, writeResult };
