// Greets, counts a stream as it arrives, and sends one that grows. `env.GREETING` is typed from func.toml by the build.
import type { Env, FetchHandler } from '@skerry/runtime';

async function count(request: Request): Promise<Response> {
  let bytes = 0;
  let lines = 0;
  for await (const piece of request.body ?? []) {
    const part: Uint8Array = piece;
    bytes += part.length;
    lines += part.reduce((found, byte) => (byte === 10 ? found + 1 : found), 0);
  }
  return Response.json({ bytes, lines });
}

function countdown(from: number, signal: AbortSignal): Response {
  const encoder = new TextEncoder();
  async function* events(): AsyncGenerator<Uint8Array> {
    for (let left = from; left >= 0 && !signal.aborted; left--) {
      yield encoder.encode(`data: ${left}\n\n`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
  return new Response(events(), { headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' } });
}

function greet(url: URL, env: Env): Response {
  const name = url.searchParams.get('name') ?? 'world';
  return Response.json({ message: `${env.GREETING}, ${name}!` });
}

export default {
  fetch(request: Request, env: Env): Response | Promise<Response> {
    const url = new URL(request.url);
    if (request.method === 'POST' && url.pathname === '/count') return count(request);
    if (url.pathname === '/countdown') return countdown(Math.min(Number(url.searchParams.get('from') ?? 3) || 0, 100), request.signal);
    return url.pathname === '/' ? greet(url, env) : new Response('no such path\n', { status: 404 });
  },
} satisfies FetchHandler;
