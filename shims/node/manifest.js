'use strict';
// The bindings package is supplied by the platform under two names, never by a registry (CONTRACT section 4). In the current folder, `strip` takes
// it out of package.json and the lock file before npm runs, `supply` puts it into node_modules afterwards.
const fs = require('node:fs');
const path = require('node:path');

const SUPPLIED = ['@skerry/runtime', '@telnyx/edge-runtime'];
const SECTIONS = ['dependencies', 'devDependencies', 'optionalDependencies', 'peerDependencies'];
const runtime = path.join(__dirname, 'runtime');

function edit(file, change) {
  if (!fs.existsSync(file)) return;
  const before = fs.readFileSync(file, 'utf8');
  const value = JSON.parse(before);
  if (change(value)) fs.writeFileSync(file, JSON.stringify(value, null, 2) + '\n');
}

function withoutSupplied(manifest) {
  let changed = false;
  for (const section of SECTIONS)
    for (const name of SUPPLIED)
      if (manifest && manifest[section] && name in manifest[section]) {
        delete manifest[section][name];
        changed = true;
      }
  return changed;
}

function strip() {
  edit('package.json', withoutSupplied);
  for (const file of ['package-lock.json', 'npm-shrinkwrap.json'])
    edit(file, (lock) => {
      const packages = lock.packages || {};
      let changed = withoutSupplied(packages['']);
      for (const name of SUPPLIED)
        for (const section of [packages, lock.dependencies || {}])
          for (const key of [`node_modules/${name}`, name])
            if (key in section) {
              delete section[key];
              changed = true;
            }
      return changed;
    });
}

function supply() {
  if (!fs.existsSync(path.join(runtime, 'package.json'))) return;
  for (const name of SUPPLIED) {
    const target = path.join('node_modules', name);
    fs.rmSync(target, { recursive: true, force: true });
    fs.cpSync(runtime, target, { recursive: true });
    edit(path.join(target, 'package.json'), (manifest) => {
      manifest.name = name;
      return true;
    });
  }
}

({ strip, supply })[process.argv[2]]();
