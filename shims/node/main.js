'use strict';
// The Node.js shim's command: `node [flags] /skerry/shim/node/main.js`. Loads the entry as the main module and serves it on descriptor 3; shims/README.md
// is the protocol, CONTRACT section 2 the meaning of the shapes.
const fs = require('node:fs');
const http = require('node:http');
const { load } = require('./load.js');
const { handlerOf } = require('./shapes.js');

const STOP_MS = 10_000;
const DRAIN_BYTES = 64 * 1024;
const MAX_MESSAGE = 2048;
const app = process.env.SKERRY_APP_DIR || '/app';
const entry = process.env.SKERRY_ENTRY || '';
const shape = process.env.SKERRY_SHAPE || '';
for (const name of ['SKERRY_SHIM', 'SKERRY_ENTRY', 'SKERRY_SHAPE', 'SKERRY_APP_DIR']) delete process.env[name];

let statusOpen = true;
function say(fields) {
  if (statusOpen) fs.writeSync(4, JSON.stringify(fields) + '\n');
}
function closeStatus() {
  if (statusOpen) fs.closeSync(4);
  statusOpen = false;
}
function startFailed(error) {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  console.error(error);
  say({ error: 'start_failed', message: text.split('\n')[0].slice(0, MAX_MESSAGE) });
  process.exit(1);
}

function answerError(request, response, error) {
  console.error(error);
  if (response.headersSent) {
    response.destroy(); // too late for a status: the caller sees an answer cut short
    return;
  }
  const body = JSON.stringify({
    error: { code: 'function_error', message: 'the function failed; see its log', request_id: request.headers['x-request-id'] || '' },
  });
  for (const name of response.getHeaderNames()) response.removeHeader(name);
  response.writeHead(500, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'x-skerry-error': 'function_error' });
  response.end(body);
}

// What the handler left of the body: a little is read, more closes the connection.
function drain(request, response) {
  if (request.readableEnded || request.complete) return;
  let left = DRAIN_BYTES;
  request.on('data', (piece) => {
    left -= piece.length;
    if (left < 0) request.socket.destroy();
  });
  request.on('error', () => {});
  void response;
}

async function main() {
  say({ phase: 'runtime' });
  const loaded = await load(app, entry);
  say({ phase: 'code' });
  const handler = handlerOf(loaded, shape);
  await handler.start();

  const server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0, maxHeaderSize: 256 * 1024 }, (request, response) => {
    const controller = new AbortController();
    // The platform half-closes when the caller is gone; the connection is closed when the handler has returned.
    const onEnd = () => controller.abort();
    request.socket.once('end', onEnd);
    response.on('error', () => {});
    handler
      .serve(request, response, controller.signal)
      .catch((error) => {
        if (!controller.signal.aborted) answerError(request, response, error);
        else response.destroy();
      })
      .finally(() => {
        request.socket.off('end', onEnd);
        if (!response.writableEnded && !response.destroyed) response.end();
        drain(request, response);
      });
  });
  server.httpAllowHalfOpen = true;
  server.timeout = 0;
  await new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ fd: 3 }, resolve);
  });
  process.once('SIGTERM', () => {
    const forced = setTimeout(() => process.exit(0), STOP_MS);
    forced.unref();
    server.close(async () => {
      try {
        await handler.stop();
      } catch (error) {
        console.error(error);
      }
      process.exit(0);
    });
    server.closeIdleConnections();
  });
  say({ phase: 'ready' });
  closeStatus();
}

main().catch(startFailed);
