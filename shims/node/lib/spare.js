'use strict';

// A spare: a Node.js that has started, loaded the shim and warmed it, and waits for the function that it is to serve (shims/README.md).

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const { StartFailed } = require('./failures.js');

const CHUNK = 65536;
const WARM_ROUNDS = 20;
const RUNTIME = path.join(__dirname, '..', 'runtime') + path.sep;
const WARM = path.join(__dirname, '..', 'warm');

const HEAD = 'host: localhost\r\nx-request-id: warm\r\nx-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: https\r\n';
const REQUESTS = [
  `GET /warm HTTP/1.1\r\n${HEAD}\r\n`,
  `GET /warm/deep?name=you HTTP/1.1\r\n${HEAD}accept: */*\r\n\r\n`,
  `POST /warm?a=1 HTTP/1.1\r\n${HEAD}content-type: text/plain\r\ncontent-length: 4\r\n\r\nwarm`,
  `POST /warm HTTP/1.1\r\n${HEAD}content-type: application/json\r\ncontent-length: 10\r\n\r\n{"a":"bc"}`,
];

// Everything that a start and a first request do, once before there is a function: what is loaded, compiled and cached here is what they do not wait for. With
// the very functions and modules that main.js goes on with: node looks a module up anew for each folder that asks for it.
async function warm(parts) {
  const { loadMain, shapeOf } = parts.load();
  const argv = process.argv;
  const shapes = [
    await parts.handle().open(shapeOf(await loadMain(WARM, 'index.js', [])).target),
    parts.fetch().open(shapeOf(await loadMain(WARM, 'module.mjs', [])).target),
  ];
  // Nothing tells that another was the main module before, and what is named there is the author's to name.
  process.argv = argv;
  process.mainModule = undefined;
  forget(WARM + path.sep);
  const { Server } = parts.server();
  for (const shape of shapes) await serveItself(new Server(shape));
  // Made at their first use, which costs a millisecond.
  void process.stdout;
  void process.stderr;
  require('node:util').format('%s %d %j', 'warm', 1, { warm: true });
}

function forget(folder) {
  for (const file of Object.keys(require.cache)) if (file.startsWith(folder)) delete require.cache[file];
}

// Over an abstract socket: nothing is left in the file system that the function will see.
function serveItself(server) {
  const name = `\0skerry-warm-${process.pid}`;
  return new Promise((resolve, reject) => {
    server._server.listen(name, () => {
      const client = net.connect(name);
      let asked = 0;
      const ask = () => {
        if (asked < WARM_ROUNDS * REQUESTS.length) client.write(REQUESTS[asked++ % REQUESTS.length]);
        else client.end();
      };
      client.on('error', reject);
      client.on('data', ask);
      client.on('close', () => server._server.close(resolve));
      ask();
    });
    server._server.once('error', reject);
  });
}

function read(descriptor) {
  const pieces = [];
  for (;;) {
    const piece = Buffer.allocUnsafe(CHUNK);
    const size = fs.readSync(descriptor, piece);
    if (size === 0) break;
    pieces.push(piece.subarray(0, size));
  }
  fs.closeSync(descriptor);
  return Buffer.concat(pieces);
}

// {name: value} of "S" or "N", NAME=value entries, an empty one, and after "S" the secrets.
function environmentOf(assigned) {
  const text = assigned.toString('utf8');
  const entries = text.slice(1).split('\0');
  const end = entries.indexOf('');
  const withSecrets = text[0] === 'S';
  const secrets = withSecrets ? entries.slice(end + 1).filter((entry) => entry !== '') : [];
  if (withSecrets && (secrets.length === 0 || secrets[0].startsWith('\x01'))) throw new StartFailed('the secrets were not delivered');
  const found = {};
  // What the plan itself says wins over a secret of the same name.
  for (const entry of [...secrets, ...entries.slice(0, end)]) {
    const equals = entry.indexOf('=');
    found[entry.slice(0, equals)] = entry.slice(equals + 1);
  }
  return found;
}

// What differs only: to set TZ, even to what it was, makes node look for the time zone again.
function replaceEnvironment(environment) {
  for (const name of Object.keys(process.env)) if (!Object.hasOwn(environment, name)) delete process.env[name];
  for (const [name, value] of Object.entries(environment)) if (process.env[name] !== value) process.env[name] = value;
}

// Settles when this process has become an instance: its code is at /app and its environment is process.env. `parts` gives main.js's modules.
async function become(descriptor, status, parts) {
  await warm(parts);
  // Once for practice, with a variable that comes and goes.
  for (const more of ['SKERRY_WARM=yes\0', '']) {
    const entries = Object.entries(process.env).map(([name, value]) => `${name}=${value}\0`).join('');
    replaceEnvironment(environmentOf(Buffer.from(`S${more}${entries}\0SKERRY_WARM=no\0`)));
  }
  delete process.env.SKERRY_WARM;
  status.phase('waiting');
  const assigned = read(descriptor);
  if (assigned.length === 0) process.exit(0); // nobody wants it any more
  replaceEnvironment(environmentOf(assigned));
  // What it read of the environment when it was loaded is not the function's.
  forget(RUNTIME);
  process.chdir(path.resolve(process.env.SKERRY_APP_DIR || '/app'));
}

module.exports = { become, environmentOf };
