// The conformance function as `fetch(request, env, ctx)`, an ES module.

import assert from 'node:assert';
import { fileURLToPath } from 'node:url';

import common from './common.cjs';

// The entry is the main module.
assert.strictEqual(process.argv[1], fileURLToPath(import.meta.url));

const text = (body, status = 200) => new Response(body, { status, headers: { 'content-type': 'text/plain' } });

async function whole(request) {
  return common.digest(Buffer.from(await request.arrayBuffer()));
}

async function describe(request, url) {
  const at = request.url.indexOf('?');
  return Response.json({
    method: request.method, path: url.pathname, raw_path: null, query: at < 0 ? '' : request.url.slice(at + 1), scheme: url.protocol.slice(0, -1), client: null,
    headers: [...request.headers], ...(await whole(request)),
  });
}

async function upload(request, id) {
  const hash = common.createHash('sha256');
  let bytes = 0;
  for await (const piece of request.body ?? []) {
    bytes += piece.length;
    hash.update(piece);
    if (id !== undefined) console.log(`upload ${id} ${bytes}`);
  }
  return Response.json({ bytes, sha256: hash.digest('hex') });
}

// Writes only what is asked for: pull is the back-pressure.
function streamOf(pieces) {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => pieces.return(),
  }, { highWaterMark: 0 });
}

const PATHS = {
  '/hello': () => text('hello\n'),
  '/request': (request, query, url) => describe(request, url),
  '/echo': (request) => new Response(request.body, { headers: { 'content-type': request.headers.get('content-type') ?? 'application/octet-stream' } }),
  '/digest': async (request) => Response.json(await whole(request)),
  '/upload': (request, query) => upload(request, query.id),
  '/hold': async (request, query) => {
    console.log(`hold ${query.gate}`);
    await common.passGate(query.gate);
    return upload(request);
  },
  '/unread': () => text('unread\n'),
  '/bytes': (request, query) => new Response(streamOf(common.patternPieces(Number(query.n))), { headers: query.framing === 'length' ? { 'content-length': query.n } : {} }),
  '/empty': () => new Response(),
  '/status': (request, query) => new Response(null, { status: Number(query.code), headers: { 'x-conformance': 'status' } }),
  '/repeated': () => new Response('ok\n', { headers: common.REPEATED }),
  '/stream': (request, query) => text(streamOf(common.streamPieces(query))),
  '/gate': (request, query) => {
    common.openGate(query.name);
    return new Response(null, { status: 204 });
  },
  '/wait': async (request, query) => {
    await common.wait(query);
    return text('waited\n');
  },
  '/told': async (request, query) => {
    await common.told(query, request.signal);
    return text('told\n');
  },
  '/error/before': () => {
    throw new Error('conformance before');
  },
  '/error/after': () => text(streamOf(common.failingPieces())),
  '/error/short': () => new Response(streamOf(common.failingPieces()), { headers: { 'content-type': 'text/plain', 'content-length': '100' } }),
  '/env': () => Response.json(common.environment()),
  '/descriptors': () => text(common.descriptors()),
  '/print': async (request, query) => {
    await common.print(query);
    return new Response(null, { status: 204 });
  },
  '/hooks': () => Response.json({ starts: 0, value: null }),
};

export default {
  fetch(request) {
    const url = new URL(request.url);
    const path = url.pathname.startsWith('/request/') ? '/request' : url.pathname;
    return Object.hasOwn(PATHS, path) ? PATHS[path](request, Object.fromEntries(url.searchParams), url) : text('no such path\n', 404);
  },
};
