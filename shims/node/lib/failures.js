'use strict';

// How a failure of the author's code is shown: the trace to standard error, one line to the status pipe, a 500 without details to the caller.

const fs = require('node:fs');

// The project cannot be started for a reason that is the whole story: no trace helps. The text is for the author.
class StartFailed extends Error {
  constructor(message) {
    super(message);
    this.name = 'StartFailed';
  }
}

// What waits for a caller who went away fails with this: reads of the body, and whatever was given the signal.
class CallerGone extends Error {
  constructor() {
    super('the caller went away');
    this.name = 'AbortError';
    this.code = 'ABORT_ERR';
  }
}

// A promise of the author's that was not awaited yet (`const body = request.json(); await other();`) is rejected when the caller goes away. Node would end the
// process for it, and with it the requests of other callers. Every other unhandled rejection ends the process, as in node.
function tolerateCallersWhoLeave() {
  process.on('unhandledRejection', (reason) => {
    const authorListens = process.listenerCount('unhandledRejection') > 1;
    if (!(reason instanceof CallerGone) && !authorListens) throw reason;
  });
}

function traceOf(error) {
  if (error instanceof StartFailed) return `start failed: ${error.message}\n`;
  try {
    const text = require('node:util').inspect(error);
    // V8 puts the place of a syntax error into the stack only where the loader did; `name: message` is always there.
    return `${text}\n`;
  } catch {
    return 'an error that cannot be shown\n';
  }
}

// Written past process.stderr: its first use costs milliseconds, and an author may have replaced it.
function printTrace(error) {
  const bytes = Buffer.from(traceOf(error));
  for (let sent = 0; sent < bytes.length;) {
    try {
      sent += fs.writeSync(2, bytes, sent);
    } catch (failure) {
      if (failure.code !== 'EAGAIN') return; // closed: a failure stays a failure without its trace
      // The log's reader is slow and the author's own prints made the pipe non-blocking: let the stream queue the rest.
      process.stderr.write(bytes.subarray(sent));
      return;
    }
  }
}

// Exception type and message in one line, as the status pipe wants it.
function oneLine(error) {
  if (error instanceof StartFailed) return error.message;
  try {
    if (!(error instanceof Error) && !(error && error.name && error.message)) return `thrown: ${String(error).split('\n', 1)[0]}`;
    const message = String(error.message).trim().split('\n', 1)[0];
    return message ? `${error.name}: ${message}` : String(error.name);
  } catch {
    return 'an error that cannot be shown';
  }
}

function errorBody(requestId) {
  return JSON.stringify({ error: { code: 'function_error', message: 'the function failed; see its log', request_id: requestId } });
}

const ERROR_HEADERS = ['content-type', 'application/json', 'x-skerry-error', 'function_error'];

module.exports = { CallerGone, StartFailed, tolerateCallersWhoLeave, printTrace, oneLine, errorBody, ERROR_HEADERS };
