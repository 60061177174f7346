'use strict';

// The status pipe (descriptor 4): tells the platform how far the start came, then closes. shims/README.md has the lines.

const fs = require('node:fs');

const DESCRIPTOR = 4;
// So that a line stays below 4 KB when every character is escaped.
const MESSAGE_MAX_CHARACTERS = 600;

class Status {
  constructor(fd = DESCRIPTOR) {
    this._fd = fd;
  }

  phase(word) {
    this._write(`{"phase":"${word}"}\n`);
    if (word === 'ready') this._close();
  }

  startFailed(message) {
    // toWellFormed: the cut may fall between the halves of a pair, and the reader wants UTF-8.
    this._write(`${JSON.stringify({ error: 'start_failed', message: message.slice(0, MESSAGE_MAX_CHARACTERS).toWellFormed() })}\n`);
    this._close();
  }

  _write(line) {
    if (this._fd < 0) return;
    try {
      fs.writeSync(this._fd, line);
    } catch {
      // Nobody listens (a start by hand, or a platform that gave up): the start goes on, and the reader, if any, sees the end of the pipe.
      this._close();
    }
  }

  _close() {
    if (this._fd < 0) return;
    try {
      fs.closeSync(this._fd);
    } catch {
      // Never open.
    }
    this._fd = -1;
  }
}

module.exports = { Status };
