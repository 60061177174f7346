'use strict';

// The Node.js shim's command: `node [flags] /skerry/shim/node/main.js [arguments of the author's start script]`.
//
// The order of a start: status pipe, the author's code as the main module, its start-up code, accepting on descriptor 3. Everything costs time before a first
// answer, so nothing is required here that this path does not need; in particular not `fetch` and its classes (17 ms) unless the author's shape wants them.

const { Status } = require('./lib/status.js');
const { StartFailed, oneLine, printTrace, tolerateCallersWhoLeave } = require('./lib/failures.js');

const LISTENER = 3;

function appFolder() {
  return process.env.SKERRY_APP_DIR || '/app';
}

// Required where they are needed first; a spare needs all before it waits.
const parts = {
  load: () => require('./lib/load.js'),
  handle: () => require('./lib/handle.js'),
  fetch: () => require('./lib/fetch.js'),
  server: () => require('./lib/server.js'),
};

async function main() {
  // SECURITY: descriptors 3 and 4 must not reach a child of the author's code, which could accept requests or speak for us on the status pipe. Node marks every
  // descriptor it was given close-on-exec before any JavaScript runs (uv_disable_stdio_inheritance); tests/main.test.js asserts it.
  const status = new Status();
  let stop = () => process.exit(0); // before ready there is nothing to finish
  // As process 1 of a container SIGTERM is ignored without a handler.
  process.on('SIGTERM', () => stop());
  tolerateCallersWhoLeave();
  try {
    if (process.env.SKERRY_ASSIGNMENT_FD) await require('./lib/spare.js').become(Number(process.env.SKERRY_ASSIGNMENT_FD), status, parts);
    status.phase('runtime');
    const { loadMain, shapeOf, NO_SHAPE } = parts.load();
    const app = appFolder();
    const entry = process.env.SKERRY_ENTRY || require('./lib/entry.js').findEntry(app).entry;
    const found = shapeOf(await loadMain(app, entry, process.argv.slice(2)));
    status.phase('code');
    if (found === null) throw new StartFailed(`${entry}: ${NO_SHAPE}`);
    const shape = found.shape === 'fetch' ? parts.fetch().open(found.target) : await parts.handle().open(found.target);
    const { Server } = parts.server();
    const server = new Server(shape);
    await server.listen(LISTENER);
    stop = () => server.stop();
    status.phase('ready');
  } catch (error) {
    printTrace(error);
    status.startFailed(oneLine(error));
    process.exit(1);
  }
}

main();
