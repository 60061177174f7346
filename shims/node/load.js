'use strict';
// Loads the author's entry as the main module, CommonJS or ESM, and gives its exports.
const fs = require('node:fs');
const Module = require('node:module');
const path = require('node:path');
const { pathToFileURL } = require('node:url');

// True when Node.js itself would take the file for an ES module.
function isModule(file) {
  if (file.endsWith('.mjs')) return true;
  if (file.endsWith('.cjs')) return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'package.json');
    if (fs.existsSync(manifest)) {
      try {
        return JSON.parse(fs.readFileSync(manifest, 'utf8')).type === 'module';
      } catch {
        return false;
      }
    }
    if (folder === path.dirname(folder)) return false;
  }
}

async function load(app, entry) {
  const file = path.join(app, entry);
  if (!entry || !fs.existsSync(file)) throw new Error(`no entry \`${entry}\`: scripts.start \`node FILE\`, main, index.js or dist/index.js must name a file`);
  process.chdir(app);
  process.argv[1] = file;
  if (isModule(file)) return import(pathToFileURL(file).href);
  try {
    return Module._load(file, null, true); // as `node FILE` does: require.main === module
  } catch (error) {
    if (error.code !== 'ERR_REQUIRE_ESM') throw error;
    return import(pathToFileURL(file).href);
  }
}

module.exports = { load };
