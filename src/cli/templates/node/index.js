'use strict';

// `context` has method, url, path, query, headers, rawBody and log; `body` is parsed by its content type.
async function handle(context, body) {
  context.log.info('request', { method: context.method, path: context.path });
  return {
    message: `${process.env.GREETING || 'Hello'}, ${context.query.name || 'world'}!`,
    path: context.path,
    received: body,
    location: process.env.SKERRY_LOCATION,
  };
}

module.exports = { handle };
