'use strict';

// Accepts on the inherited socket, knows every connection, and stops in order. One for each process, made by main.js.

const net = require('node:net');

const { Connection } = require('./connection.js');
const { printTrace } = require('./failures.js');

// What has arrived when the signal comes is a request like any other: one whole round of the event loop lies between two immediates, and it reads.
const arrived = () => new Promise((resolve) => { setImmediate(() => setImmediate(resolve)); });

class Server {
  // `shape` has answer(exchange): a promise that settles when the author's handler is over; stop(): runs what is to run at the end.
  constructor(shape) {
    this.shape = shape;
    this.stopping = false;
    this._connections = new Set();
    this._server = net.createServer({ allowHalfOpen: true }, (socket) => this._connections.add(new Connection(this, socket)));
    this._idle = null; // resolves a stop that waits for connections
  }

  listen(fd) {
    return new Promise((resolve, reject) => {
      this._server.once('error', reject);
      this._server.listen({ fd }, () => {
        // An accept that fails (descriptors used up by the author's code) is tried again by the next connection; it must not end the process.
        this._server.off('error', reject).on('error', printTrace);
        resolve();
      });
    });
  }

  closed(connection) {
    this._connections.delete(connection);
    if (this._connections.size === 0 && this._idle !== null) this._idle();
  }

  async stop() {
    if (this.stopping) return;
    this.stopping = true;
    await arrived();
    this._server.close();
    for (const connection of this._connections) connection.closeIfIdle();
    if (this._connections.size > 0) await new Promise((resolve) => { this._idle = resolve; });
    try {
      await this.shape.stop();
    } catch (error) {
      printTrace(error);
    }
    process.exit(0);
  }
}

module.exports = { Server };
