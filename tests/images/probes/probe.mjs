// What a Node.js function may do with its image; prints what it saw as JSON. Arguments: good port, bad port, addon or "".
import dns from 'node:dns/promises';
import { createRequire } from 'node:module';
import { execFileSync } from 'node:child_process';
import https from 'node:https';
import tls from 'node:tls';
import zlib from 'node:zlib';

const [good, bad, addon] = process.argv.slice(2);
const instant = new Date(1719792000 * 1000);

const get = (host, port) => new Promise((resolve, reject) => {
  https.get({ host, port, timeout: 20000 }, (response) => {
    let body = '';
    response.on('data', (chunk) => { body += chunk; }).on('end', () => resolve(body));
  }).on('error', reject);
});
const refused = (host, port) => get(host, port).catch((error) => `refused: ${error.code}`);
const local = (zone) => execFileSync(process.execPath,
  ['-p', `new Date(${instant.getTime()}).toString()`], { env: { ...process.env, TZ: zone } }).toString().trim();

console.log(JSON.stringify({
  tls: await get('localhost', good),
  fetch: await (await fetch(`https://localhost:${good}/`)).text(),
  untrusted: await refused('localhost', bad),
  other_name: await refused('127.0.0.1', good),
  v4: (await dns.lookup('localhost', { family: 4 })).address,
  v6: (await dns.lookup('localhost', { family: 6 })).address,
  utc: local('UTC'), berlin: local('Europe/Berlin'), eastern: local('US/Eastern'),
  library: zlib.gunzipSync(zlib.gzipSync('x')).toString() === 'x',
  addon: addon ? createRequire(import.meta.url)(addon).answer() : null,
  roots: tls.rootCertificates.length,
}));
