'use strict';

// The conformance function as `handle(context, body)`.

const assert = require('node:assert');

const common = require('./common.cjs');

// The entry is the main module.
assert.strictEqual(require.main, module);

let starts = 0;

const text = (body, statusCode = 200) => ({ statusCode, headers: { 'content-type': 'text/plain' }, body });

function request(context) {
  const mark = context.url.indexOf('?');
  const seen = {
    method: context.method, path: context.path, raw_path: null, query: mark < 0 ? '' : context.url.slice(mark + 1), scheme: null, client: null,
    headers: Object.entries(context.headers), ...common.digest(context.rawBody),
  };
  // An object with `headers` would be taken for a whole answer.
  return { body: seen };
}

const PATHS = {
  '/hello': () => 'hello\n',
  '/request': request,
  '/echo': (context) => ({ headers: { 'content-type': context.headers['content-type'] || 'application/octet-stream' }, body: context.rawBody }),
  '/digest': (context) => common.digest(context.rawBody),
  '/unread': () => 'unread\n',
  '/bytes': ({ query }) => ({ body: query.framing === 'length' ? common.pattern(0, Number(query.n)) : asynchronously(common.patternPieces(Number(query.n))) }),
  '/empty': () => ({ statusCode: 200 }),
  '/status': ({ query }) => ({ statusCode: Number(query.code), headers: { 'x-conformance': 'status' } }),
  '/repeated': () => ({ headers: { 'content-type': 'text/plain', 'x-repeated': ['one', 'two'], 'set-cookie': ['a=1; Path=/', 'b=2, c; Path=/'] }, body: 'ok\n' }),
  '/stream': ({ query }) => text(common.streamPieces(query)),
  '/gate': ({ query }) => void common.openGate(query.name),
  '/wait': ({ query }) => common.wait(query).then(() => 'waited\n'),
  '/told': ({ query, signal }) => common.told(query, signal),
  '/error/before': () => { throw new Error('conformance before'); },
  '/error/after': () => text(common.failingPieces()),
  '/error/short': () => ({ headers: { 'content-length': 100, 'content-type': 'text/plain' }, body: common.failingPieces() }),
  '/env': common.environment,
  '/descriptors': common.descriptors,
  '/print': ({ query }) => common.print(query),
  '/hooks': () => ({ starts, value: null }),
};

async function* asynchronously(pieces) {
  yield* pieces;
}

module.exports = {
  init() {
    starts++;
  },
  handle(context) {
    const path = context.path.startsWith('/request/') ? '/request' : context.path;
    return Object.hasOwn(PATHS, path) ? PATHS[path](context) : text('no such path\n', 404);
  },
  shutdown() {
    console.log('stop hook ran');
  },
};
