'use strict';

// `env`: the function's bindings, and its plain variables beside them. Loaded at every start of a `fetch` function, so it asks nobody anything and loads its HTTP
// client at the first use of a binding. README.md has the requests that it makes.

class BindingError extends Error {
  constructor(status, code, message) {
    super(message);
    this.name = 'BindingError';
    this.status = status;
    this.code = code;
  }
}

function declared() {
  try {
    const { kv, api } = JSON.parse(process.env.SKERRY_BINDING_NAMES || '{}');
    const names = (list) => (Array.isArray(list) ? list.filter((name) => typeof name === 'string') : []);
    return { kv: names(kv), api: names(api) };
  } catch {
    return { kv: [], api: [] };
  }
}

function call(what, method, path, body) {
  return require('./client.js').call(BindingError, what, method, path, body);
}

const escaped = encodeURIComponent;

function checkKey(binding, key) {
  if (typeof key !== 'string' || key === '') throw new TypeError(`KV binding ${binding}: a key must be a string that is not empty`);
  return `/kv/${escaped(binding)}/${escaped(key)}`;
}

class KVNamespace {
  #binding;

  constructor(binding) {
    this.#binding = binding;
  }

  // The value as text, parsed for {type: 'json'} (or 'json'), null where there is none.
  async get(key, options) {
    const type = typeof options === 'string' ? options : options?.type ?? 'text';
    if (type !== 'text' && type !== 'json') throw new TypeError(`KV binding ${this.#binding}: type must be "text" or "json", not ${JSON.stringify(type)}`);
    const { status, body } = await call(`KV binding ${this.#binding}`, 'GET', checkKey(this.#binding, key));
    if (status === 404) return null;
    const text = body.toString('utf8');
    return type === 'json' ? JSON.parse(text) : text;
  }

  async put(key, value, options) {
    const path = checkKey(this.#binding, key);
    if (typeof value !== 'string' && !(value instanceof Uint8Array) && !(value instanceof ArrayBuffer)) {
      throw new TypeError(`KV binding ${this.#binding}: a value must be a string or bytes; JSON.stringify(value) makes one`);
    }
    const ttl = options?.expirationTtl;
    if (ttl !== undefined && !(Number.isInteger(ttl) && ttl > 0)) throw new TypeError(`KV binding ${this.#binding}: expirationTtl must be a whole number of seconds above 0`);
    await call(`KV binding ${this.#binding}`, 'PUT', ttl === undefined ? path : `${path}?expiration_ttl=${ttl}`, Buffer.from(value));
  }

  async delete(key) {
    await call(`KV binding ${this.#binding}`, 'DELETE', checkKey(this.#binding, key));
  }

  async list({ prefix, limit, cursor } = {}) {
    const query = Object.entries({ prefix, limit, cursor }).filter(([, value]) => value !== undefined && value !== null).map(([name, value]) => `${name}=${escaped(value)}`);
    const { body } = await call(`KV binding ${this.#binding}`, 'GET', `/kv/${escaped(this.#binding)}${query.length > 0 ? `?${query.join('&')}` : ''}`);
    return JSON.parse(body.toString('utf8'));
  }
}

const SECRETS = {
  // A secret that the instance was given is in its environment, under its name and its binding; others are asked for.
  async get(handle) {
    if (typeof handle !== 'string' || handle === '') throw new TypeError('SECRETS.get(handle): the handle must be a string that is not empty');
    if (process.env[handle] !== undefined) return process.env[handle];
    const { status, body } = await call(`secret ${handle}`, 'GET', `/secrets/${escaped(handle)}`);
    return status === 404 ? null : body.toString('utf8');
  },
};

// The project's own `telnyx` package, pointed at the bindings endpoint, which adds the credential.
function apiClient(binding) {
  const base = process.env.SKERRY_BINDINGS;
  if (!base) throw require('./client.js').notConfigured(BindingError, `API binding ${binding}`);
  let exported;
  try {
    exported = require('node:module').createRequire(`${process.cwd()}/package.json`)('telnyx');
  } catch (error) {
    if (error.code !== 'MODULE_NOT_FOUND') throw error;
    throw new BindingError(0, 'missing_package', `API binding ${binding}: the package "telnyx" is not installed; add it to the dependencies in package.json`);
  }
  const Client = exported.default ?? exported.Telnyx ?? exported;
  return new Client({ apiKey: process.env.TELNYX_API_KEY || 'injected-by-the-platform', baseURL: `${base.replace(/\/$/, '')}/api/${escaped(binding)}` });
}

function makeEnv() {
  const { kv, api } = declared();
  const env = Object.assign(Object.create(null), process.env);
  for (const name of kv) env[name] = new KVNamespace(name);
  for (const name of api) {
    let client;
    Object.defineProperty(env, name, { enumerable: true, configurable: true, get: () => (client ??= apiClient(name)) });
  }
  env.SECRETS = SECRETS;
  return env;
}

exports.env = makeEnv();
exports.BindingError = BindingError;
exports.KVNamespace = KVNamespace;
