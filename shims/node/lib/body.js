'use strict';

// The body of one request, between the connection that feeds it and the shape that reads it. Holds what nobody has asked for, and says when that is enough.

const { CallerGone } = require('./failures.js');

// Bytes that are held for a handler that does not read (shims/README.md). One read of the socket may come on top.
const READ_AHEAD_BYTES = 64 * 1024;

class RequestBody {
  // `onRoom` is called when the connection may read on.
  constructor(onRoom) {
    this.ended = false; // everything arrived
    this._onRoom = onRoom;
    this._pieces = [];
    this._held = 0;
    this._waiting = null; // {resolve, reject} of a take() that found nothing
    this._error = null;
    this._discards = false;
  }

  // For the reader

  // The next piece; null at the end. Rejects when the caller went away before the end. One at a time.
  take() {
    if (this._pieces.length > 0) {
      const piece = this._pieces.shift();
      this._held -= piece.length;
      this._onRoom();
      return Promise.resolve(piece);
    }
    if (this._error !== null) return Promise.reject(this._error);
    if (this.ended) return Promise.resolve(null);
    return new Promise((resolve, reject) => {
      this._waiting = { resolve, reject };
      this._onRoom();
    });
  }

  // The whole body, or null when it is longer than `max_bytes`.
  async takeAll(maxBytes) {
    const pieces = [];
    let size = 0;
    for (let piece = await this.take(); piece !== null; piece = await this.take()) {
      size += piece.length;
      if (size > maxBytes) return null;
      pieces.push(piece);
    }
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces, size);
  }

  // For the connection

  get wantsMore() {
    return this._discards || this._waiting !== null || this._held < READ_AHEAD_BYTES;
  }

  push(piece) {
    if (this._discards) return;
    if (this._waiting !== null) {
      const { resolve } = this._waiting;
      this._waiting = null;
      resolve(piece);
    } else {
      this._pieces.push(piece);
      this._held += piece.length;
    }
  }

  end() {
    this.ended = true;
    this._settle(({ resolve }) => resolve(null));
  }

  // The caller went away. What has arrived can still be read.
  abort() {
    if (this.ended || this._error !== null) return;
    this._error = new CallerGone();
    this._settle(({ reject }) => reject(this._error));
  }

  // The handler has returned: what it did not read is forgotten, and so is what still comes.
  discard() {
    this._discards = true;
    this._pieces = [];
    this._held = 0;
    if (!this.ended && this._error === null) this._error = new TypeError('the body is read after the handler has returned');
    this._settle(({ reject }) => reject(this._error));
  }

  _settle(how) {
    if (this._waiting === null) return;
    const waiting = this._waiting;
    this._waiting = null;
    how(waiting);
  }
}

module.exports = { RequestBody };
