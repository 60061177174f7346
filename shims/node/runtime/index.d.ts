import type { DeclaredBindings } from './env';

export interface KVListOptions {
  prefix?: string;
  limit?: number;
  cursor?: string;
}

export interface KVListResult {
  keys: { name: string; sizeBytes: number; updatedAt: string }[];
  list_complete: boolean;
  cursor?: string;
}

export interface KVNamespace {
  get(key: string, options?: { type?: 'text' } | 'text'): Promise<string | null>;
  get<T = unknown>(key: string, options: { type: 'json' } | 'json'): Promise<T | null>;
  put(key: string, value: string | Uint8Array | ArrayBuffer, options?: { expirationTtl?: number }): Promise<void>;
  delete(key: string): Promise<void>;
  list(options?: KVListOptions): Promise<KVListResult>;
}

export interface Secrets {
  get(handle: string): Promise<string | null>;
}

/** What a failed call of a binding throws. `status` is 0 where there was no answer. */
export declare class BindingError extends Error {
  readonly status: number;
  readonly code: string;
}

/** The bindings and variables that the project's manifest declares. */
export interface Env extends DeclaredBindings {
  readonly SECRETS: Secrets;
}

/** The third argument of `fetch(request, env, ctx)`. */
export interface ExecutionContext {
  waitUntil(promise: Promise<unknown>): void;
}

export declare const env: Env;

// The platform's classes, by whichever library declares them (DOM or @types/node); `any` where none does.
type Declared<Name extends string> = typeof globalThis extends { [N in Name]: { prototype: infer T } } ? T : any;

export interface FetchHandler {
  fetch(request: Declared<'Request'>, env: Env, ctx: ExecutionContext): Declared<'Response'> | Promise<Declared<'Response'>>;
}

export interface Log {
  (message: string, fields?: object): void;
  (fields: object, message?: string): void;
}

/** The first argument of `handle(context, body)`. */
export interface Context {
  readonly method: string;
  readonly url: string;
  readonly path: string;
  readonly query: Record<string, string | string[] | undefined>;
  readonly headers: Record<string, string | undefined>;
  readonly httpVersion: string;
  /** A Buffer. */
  readonly rawBody: Uint8Array;
  readonly signal: Declared<'AbortSignal'>;
  readonly log: { debug: Log; info: Log; warn: Log; error: Log };
}
