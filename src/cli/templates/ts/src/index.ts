interface Context {
  method: string;
  url: string;
  path: string;
  query: Record<string, string>;
  headers: Record<string, string>;
  rawBody: Buffer;
  log: Record<'info' | 'warn' | 'error' | 'debug', (message: string, fields?: object) => void>;
}

// `body` is parsed by its content type: JSON, a form's fields, text, or a Buffer.
export async function handle(context: Context, body: unknown) {
  context.log.info('request', { method: context.method, path: context.path });
  return {
    message: `${process.env.GREETING ?? 'Hello'}, ${context.query.name ?? 'world'}!`,
    path: context.path,
    received: body,
    location: process.env.SKERRY_LOCATION,
  };
}
