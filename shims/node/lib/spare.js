'use strict';

// A spare: a Node.js that has started, loaded the shim and warmed it, and waits for the function that it is to serve (shims/README.md).

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const { StartFailed } = require('./failures.js');

const CHUNK = 65536;
const WARM_REQUESTS = 20;
const RUNTIME = path.join(__dirname, '..', 'runtime') + path.sep;

// Both shapes once over a socket of its own: what is compiled and cached here is what the first request does not wait for.
async function warm() {
  const { Server } = require('./server.js');
  const shapes = [
    await require('./handle.js').open({ handle: (context, body) => ({ path: context.path, body }) }),
    require('./fetch.js').open({ fetch: async (request) => new Response(await request.text()) }),
  ];
  for (const shape of shapes) await serveItself(new Server(shape));
}

// Over an abstract socket: nothing is left in the file system that the function will see.
function serveItself(server) {
  const name = `\0skerry-warm-${process.pid}`;
  return new Promise((resolve, reject) => {
    server._server.listen(name, () => {
      const client = net.connect(name);
      const request = 'POST /warm?a=1 HTTP/1.1\r\nhost: localhost\r\nx-request-id: warm\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nwarm';
      let answered = 0;
      client.on('error', reject);
      client.on('data', () => {
        answered += 1;
        if (answered < WARM_REQUESTS) client.write(request);
        else client.end();
      });
      client.on('close', () => server._server.close(resolve));
      client.write(request);
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

// Settles when this process has become an instance: its code is at /app and its environment is process.env.
async function become(descriptor, status) {
  require('./load.js');
  await warm();
  if (global.gc) global.gc();
  status.phase('waiting');
  const assigned = read(descriptor);
  if (assigned.length === 0) process.exit(0); // nobody wants it any more
  const environment = environmentOf(assigned);
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, environment);
  // What it read of the environment when it was loaded is not the function's.
  for (const file of Object.keys(require.cache)) if (file.startsWith(RUNTIME)) delete require.cache[file];
  process.chdir(path.resolve(process.env.SKERRY_APP_DIR || '/app'));
}

module.exports = { become, environmentOf };
