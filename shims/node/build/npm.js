'use strict';

// npm as the build runs it: without a terminal, without asking the registry for more than packages, and never waiting long for one that does not answer.

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');

const { StageFailed, run, say } = require('./stage.js');

// Two tries of 8 s and the pause between them stay below the 20 s within which a silent registry is named.
const FETCH_TIMEOUT_MS = 8000;
const FLAGS = ['--include=dev', '--no-audit', '--no-fund', '--no-update-notifier', '--no-progress', '--loglevel=notice', '--yes',
  `--fetch-timeout=${FETCH_TIMEOUT_MS}`, '--fetch-retries=1', '--fetch-retry-mintimeout=200', '--fetch-retry-maxtimeout=1000'];
const MACHINE_CONFIG = '/skerry/build/npmrc';
const SILENT = /\b(ETIMEDOUT|ESOCKETTIMEDOUT|ERR_SOCKET_TIMEOUT|ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|FETCH_ERROR|ENETWORK)\b/;

function npmEnvironment() {
  const env = { ...process.env, NPM_CONFIG_CACHE: path.join(os.tmpdir(), 'npm-cache') };
  // The machine's configuration (registry, proxy, credentials), where the builder put it.
  if (!env.NPM_CONFIG_USERCONFIG && fs.existsSync(MACHINE_CONFIG)) env.NPM_CONFIG_USERCONFIG = MACHINE_CONFIG;
  // It would leave out what the build needs.
  delete env.NODE_ENV;
  return env;
}

// Local sources (folders as npm's own cache makes them) are looked into before a registry is asked.
function takeSources(cache) {
  const sources = (process.env.SKERRY_SOURCES || '').split(' ').filter((folder) => folder !== '' && fs.existsSync(path.join(folder, '_cacache')));
  for (const folder of sources) fs.cpSync(path.join(folder, '_cacache'), path.join(cache, '_cacache'), { recursive: true, force: false });
  return sources.length > 0 ? ['--prefer-offline'] : [];
}

function registryHost(folder, env) {
  const { status, tail } = run('npm', ['config', 'get', 'registry'], { cwd: folder, env, keep: true });
  const found = status === 0 ? /https?:\/\/\S+/.exec(tail) : null;
  return found === null ? 'the registry' : `the registry ${new URL(found[0]).host}`;
}

// `npm ci` where the project has a lock file, else `npm install`.
function install(folder) {
  const locked = ['package-lock.json', 'npm-shrinkwrap.json'].some((name) => fs.existsSync(path.join(folder, name)));
  const verb = locked ? 'ci' : 'install';
  const env = npmEnvironment();
  const flags = [...FLAGS, ...takeSources(env.NPM_CONFIG_CACHE)];
  say(`npm ${verb}`);
  const { status, tail } = run('npm', [verb, ...flags], { cwd: folder, env, keep: true });
  if (status === 0) return;
  const silent = SILENT.exec(tail);
  if (silent !== null) throw new StageFailed(`${registryHost(folder, env)} did not answer (${silent[1]}), so npm ${verb} could not install the dependencies`);
  const lines = tail.split('\n').filter((line) => /^npm (error|ERR!)/.test(line) && !/complete log|debug-0/.test(line)).map((line) => line.replace(/^npm (error|ERR!) ?/, '').trim());
  throw new StageFailed(`npm ${verb} failed: ${lines.filter((line) => line !== '').slice(0, 3).join(' | ') || `status ${status}`}`);
}

module.exports = { install, npmEnvironment };
