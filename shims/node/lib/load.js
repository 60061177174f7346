'use strict';

// Loads the entry as the main module, exactly as `node ENTRY` would have, and says which of the contract's shapes its exports have. Used by the shim and by the
// build's probe, so that both see the same.

const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');

const { StartFailed } = require('./failures.js');

const NO_SHAPE = 'no fetch(request, env, ctx) and no handle(context, body) is exported (or a function as module.exports or default), and nothing listens on $PORT';

// The nearest package.json decides, as in node.
function isModuleScope(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).type === 'module';
    } catch (error) {
      if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') return false;
    }
    if (folder === path.dirname(folder) || path.basename(folder) === 'node_modules') return false;
  }
}

async function loadMain(app, entry, args) {
  const file = path.resolve(app, entry);
  if (!fs.existsSync(file)) throw new StartFailed(`no entry: ${entry} is not there`);
  process.argv = [process.argv[0], file, ...args];
  const asModule = file.endsWith('.mjs') || (!file.endsWith('.cjs') && isModuleScope(file));
  if (!asModule) {
    try {
      // The second argument is the parent; true makes `require.main === module` hold.
      const exported = await Module._load(file, null, true);
      if (!isEmpty(exported)) return exported;
      // The file may have the syntax of an ES module without a package.json that says so: then node has begun to import it, and the import below joins that. Of a
      // CommonJS file it gives what is loaded already.
    } catch (error) {
      if (error === null || typeof error !== 'object' || (error.code !== 'ERR_REQUIRE_ASYNC_MODULE' && error.code !== 'ERR_REQUIRE_ESM')) throw error;
    }
  }
  return import(require('node:url').pathToFileURL(file).href);
}

function isEmpty(exported) {
  return exported !== null && typeof exported === 'object' && Object.getPrototypeOf(exported) === Object.prototype && Object.keys(exported).length === 0;
}

function member(target, name) {
  return target !== null && target !== undefined && (typeof target === 'object' || typeof target === 'function') ? target[name] : undefined;
}

// A framework's application (Express, Koa, Fastify, node:http) is to listen, even where it is a function, or has a method `handle` that means something else.
function isServer(target) {
  return typeof member(target, 'listen') === 'function';
}

// {shape, target} or null. `target` is the object whose method is called (fetch), or {handle, init, shutdown, readiness} (handle).
function shapeOf(exported) {
  const candidates = [exported, member(exported, 'default')];
  // A CommonJS file that was compiled from an ES module, imported by the ES module loader.
  candidates.push(member(candidates[1], 'default'));
  for (const target of candidates) if (typeof member(target, 'fetch') === 'function') return { shape: 'fetch', target };
  for (const target of candidates) {
    if (typeof member(target, 'handle') === 'function' && !isServer(target)) return { shape: 'handle', target: handlerOf(target, (...args) => target.handle(...args), candidates) };
  }
  for (const target of candidates) {
    if (typeof target === 'function' && !isServer(target)) return { shape: 'handle', target: handlerOf(target, target, candidates) };
  }
  return null;
}

// The hooks may stand beside the handler or beside `default`.
function handlerOf(target, handle, candidates) {
  const hook = (name) => {
    const owner = [target, ...candidates].find((candidate) => typeof member(candidate, name) === 'function');
    return owner === undefined ? undefined : (...args) => owner[name](...args);
  };
  return { handle, init: hook('init'), shutdown: hook('shutdown'), readiness: hook('readiness') };
}

module.exports = { loadMain, shapeOf, NO_SHAPE };
