#!/bin/sh
# Runs in the Node.js build image as fn: installs, builds, prunes, decides the shape, and leaves in SKERRY_OUT what runs.
set -eu
here=$(dirname "$0")
npm_options="--no-audit --no-fund --no-update-notifier --fetch-timeout=8000 --fetch-retries=1 --loglevel=warn"
export NPM_CONFIG_CACHE=/tmp/npm-cache
cp -r "$SKERRY_SRC/." "$SKERRY_OUT"
cd "$SKERRY_OUT"
if [ ! -f package.json ]; then
  echo "package.json is missing: \`npm init\` makes it" >&2
  exit 1
fi
needs() { node -e "const p=require('./package.json'); process.exit(Object.keys({...p.dependencies,...p.devDependencies,...p.optionalDependencies}).length ? 0 : 1)"; }
script() { node -e "process.exit((require('./package.json').scripts||{})['$1'] ? 0 : 1)"; }
if [ -f package-lock.json ] || [ -f npm-shrinkwrap.json ]; then
  npm ci $npm_options
elif needs; then
  npm install --no-package-lock $npm_options
fi
if [ -n "${SKERRY_BUILD_COMMAND:-}" ]; then
  sh -c "$SKERRY_BUILD_COMMAND"
fi
if script build; then
  npm run build
elif [ -f tsconfig.json ] && [ -x node_modules/.bin/tsc ]; then
  node_modules/.bin/tsc
fi
if [ -d node_modules ]; then
  npm prune --omit=dev $npm_options
fi
mkdir -p .skerry
node "$here/probe.js" "$SKERRY_OUT" >.skerry/probe.json
node -e '
const fs = require("fs");
const { entry, shape, flags } = JSON.parse(fs.readFileSync(".skerry/probe.json", "utf8"));
const program = shape === "server" ? "/app/" + entry : "/skerry/shim/node/main.js";
const heap = Math.max(32, Math.floor(Number(process.env.SKERRY_MEMORY_MB || 256) * 0.7));
const env = ["NODE_ENV=production", "NODE_OPTIONS=--max-old-space-size=" + heap];
fs.writeFileSync(".skerry/revision.json", JSON.stringify({ entry, shape, argv: ["node", ...flags, program], env }));
fs.unlinkSync(".skerry/probe.json");'
