// The same for an entry that is an ES module, and for the shape `fetch`.
import { basename } from 'node:path';

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    const text = await request.text();
    ctx.waitUntil(Promise.resolve());
    if (text === '') return new Response(`hello ${url.searchParams.get('name')} at ${basename(url.pathname)}\n`, { headers: { 'x-warm': 'yes' } });
    return Response.json({ text, method: request.method, type: request.headers.get('content-type') });
  },
};
