'use strict';

// The bindings of a project, from its manifest, for the types that `tsc` sees and for `env` at run time. The gateway has validated the manifest; this reads only
// table headers, `binding = "..."` and the names in [env_vars], and takes what it does not understand for absent.

const fs = require('node:fs');
const path = require('node:path');

const MANIFESTS = ['func.toml', 'telnyx.toml', 'skerry.toml'];
const IDENTIFIER = /^[A-Za-z_$][\w$]*$/;

const unquoted = (text) => text.trim().replace(/^(["'])(.*)\1$/, '$2');

// {kv: [...], api: [...], vars: [...]}
function readBindings(app) {
  const found = { kv: [], api: [], vars: [] };
  const file = MANIFESTS.map((name) => path.join(app, name)).find((name) => fs.existsSync(name));
  if (file === undefined) return found;
  let table = '';
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    const header = /^\s*\[{1,2}([^\]]+)\]{1,2}\s*(#.*)?$/.exec(line);
    if (header !== null) {
      table = header[1].trim();
      const kv = /^storage\s*\.\s*kv\s*\.\s*(.+)$/.exec(table);
      if (kv !== null) found.kv.push(unquoted(kv[1]));
      continue;
    }
    const pair = /^\s*("[^"]+"|'[^']+'|[\w-]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/.exec(line);
    if (pair === null) continue;
    if (table === 'telnyx' && pair[1] === 'binding') found.api.push(pair[2] ?? pair[3]);
    if (table === 'env_vars') found.vars.push(unquoted(pair[1]));
  }
  return found;
}

// What the process is told at run time, or '' where there is nothing to tell: the names that are bindings, not plain variables.
function bindingNames({ kv, api }) {
  return kv.length + api.length === 0 ? '' : JSON.stringify({ kv, api });
}

// `from` is the module that has KVNamespace.
function members({ kv, api, vars }, hasTelnyx, from, indent) {
  const typed = [
    ...vars.map((name) => [name, 'string']),
    ...kv.map((name) => [name, `import('${from}').KVNamespace`]),
    // Its client is the project's own dependency; without it there is no type to name.
    ...api.map((name) => [name, hasTelnyx ? "import('telnyx').default" : 'any']),
  ];
  return [...new Map(typed)].map(([name, type]) => `${indent}readonly ${IDENTIFIER.test(name) ? name : JSON.stringify(name)}: ${type};\n`).join('');
}

// The package's own env.d.ts, which a strict `tsc` sees wherever tsconfig.json looks.
function packageTypes(bindings, hasTelnyx) {
  return `// Generated from the project's manifest at each build.\nexport interface DeclaredBindings {\n${members(bindings, hasTelnyx, './index', '  ')}}\n`;
}

// telnyx-env.d.ts at the top of the project, for those that reference it.
function projectTypes(bindings, hasTelnyx, names) {
  const modules = names.map((name) => `declare module '${name}' {\n  interface Env {\n${members(bindings, hasTelnyx, name, '    ')}  }\n}\n`);
  return `// Generated from the project's manifest at each build.\nexport {};\n\n${modules.join('\n')}`;
}

module.exports = { bindingNames, packageTypes, projectTypes, readBindings };
