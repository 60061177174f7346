'use strict';

// npm as the build runs it: without a terminal, without asking the registry for more than packages, and never waiting long for one that does not answer.

const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const path = require('node:path');

const { StageFailed, run, say } = require('./stage.js');

// Two tries of 7 s and the pause between them stay below the 20 s within which a silent registry is named.
const FETCH_TIMEOUT_MS = 7000;
const FLAGS = ['--include=dev', '--no-audit', '--no-fund', '--no-progress', '--loglevel=notice', '--yes',
  `--fetch-timeout=${FETCH_TIMEOUT_MS}`, '--fetch-retries=1', '--fetch-retry-mintimeout=200', '--fetch-retry-maxtimeout=1000'];
const CONNECT_TIMEOUT_MS = 7000;
const OFFLINE_FIRST = '--prefer-offline';
const MACHINE_CONFIG = '/skerry/build/npmrc';
const SILENT = /\b(ETIMEDOUT|ESOCKETTIMEDOUT|ERR_SOCKET_TIMEOUT|ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|FETCH_ERROR|ENETWORK)\b/;

function npmEnvironment() {
  const env = { ...process.env, NPM_CONFIG_CACHE: path.join(os.tmpdir(), 'npm-cache'), NPM_CONFIG_UPDATE_NOTIFIER: 'false' };
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
  return sources.length > 0 ? [OFFLINE_FIRST] : [];
}

// What npm will talk to: {host: of the registry, to: {host, port} of it or of the proxy in front}, or null where that is not plain.
function registryOf(folder, env) {
  const { status, tail } = run('npm', ['config', 'get', 'registry', 'https-proxy', 'proxy', 'noproxy'], { cwd: folder, env, keep: true, quiet: true });
  const values = Object.fromEntries(tail.split('\n').map((line) => /^([\w-]+)\s*=\s*(.*)$/.exec(line)).filter((found) => found !== null).map((found) => found.slice(1)));
  try {
    const url = new URL(values.registry);
    const direct = (values.noproxy || env.NO_PROXY || env.no_proxy || '').split(',').some((name) => name.trim() !== '' && `.${url.hostname}`.endsWith(`.${name.trim().replace(/^\./, '')}`));
    const known = (value) => (value && value !== 'null' && value !== 'undefined' ? value : undefined);
    const secure = url.protocol === 'https:';
    const proxy = known(secure ? values['https-proxy'] : values.proxy) || (secure ? env.HTTPS_PROXY || env.https_proxy : env.HTTP_PROXY || env.http_proxy);
    const to = proxy && !direct ? new URL(proxy) : url;
    return status === 0 ? { host: url.host, to: { host: to.hostname.replace(/^\[|\]$/g, ''), port: Number(to.port) || (to.protocol === 'https:' ? 443 : 80) } } : null;
  } catch {
    return null; // npm says what is wrong with it
  }
}

// npm itself would wait for minutes for a host that answers no connection.
function reach({ host, to }) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(to);
    const end = (problem) => {
      clearTimeout(timer);
      socket.destroy();
      if (problem === null) resolve();
      else reject(new StageFailed(`the registry ${host} did not answer (${problem}${to.host === new URL(`http://${host}`).hostname ? '' : ` from ${to.host} port ${to.port}`})`));
    };
    const timer = setTimeout(() => end(`no connection within ${CONNECT_TIMEOUT_MS / 1000} s`), CONNECT_TIMEOUT_MS);
    socket.once('connect', () => end(null)).once('error', (error) => end(error.code || error.message));
  });
}

// `asksRegistry`: it is known beforehand that a package of the registry is wanted. `npm ci` where the project has a lock file, else `npm install`.
async function install(folder, asksRegistry) {
  const locked = ['package-lock.json', 'npm-shrinkwrap.json'].some((name) => fs.existsSync(path.join(folder, name)));
  const verb = locked ? 'ci' : 'install';
  const env = npmEnvironment();
  const flags = [...FLAGS, ...takeSources(env.NPM_CONFIG_CACHE)];
  const registry = registryOf(folder, env);
  // A local source may hold all that is wanted.
  if (asksRegistry && registry !== null && !flags.includes(OFFLINE_FIRST)) await reach(registry);
  say(`npm ${verb}`);
  const { status, tail } = run('npm', [verb, ...flags], { cwd: folder, env, keep: true });
  if (status === 0) return;
  const silent = SILENT.exec(tail);
  if (silent !== null) throw new StageFailed(`the registry ${registry === null ? '' : `${registry.host} `}did not answer (${silent[1]}), so npm ${verb} could not install the dependencies`);
  const lines = tail.split('\n').filter((line) => /^npm (error|ERR!)/.test(line) && !/complete log|debug-0/.test(line)).map((line) => line.replace(/^npm (error|ERR!) ?/, '').trim());
  throw new StageFailed(`npm ${verb} failed: ${lines.filter((line) => line !== '').slice(0, 3).join(' | ') || `status ${status}`}`);
}

module.exports = { install, npmEnvironment };
