// What an ordinary Node.js program does: each is "ok", or what went wrong.
'use strict';
const { execFileSync, spawnSync } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const tls = require('node:tls');
const { Worker } = require('node:worker_threads');

const worker = (n) => new Promise((resolve, reject) => {
  new Worker('require("node:worker_threads").parentPort.postMessage(require("node:worker_threads").workerData * 2)', { eval: true, workerData: n })
    .on('message', resolve).on('error', reject);
});

const fetched = (port, options) => new Promise((resolve, reject) => {
  const socket = tls.connect({ port, host: '127.0.0.1', servername: 'localhost', ...options });
  let told = '';
  socket.on('data', (piece) => { told += piece; }).on('end', () => resolve(told)).on('error', reject);
});

const work = {
  threads: async () => (await Promise.all([1, 2, 3, 4].map(worker))).join() === '2,4,6,8',
  subprocesses: () => {
    const killed = spawnSync('sh', ['-c', 'kill -9 $$']);
    return execFileSync('sh', ['-c', 'read word; echo $word $((6 * 7))'], { input: 'hello\n' }).toString() === 'hello 42\n' && killed.signal === 'SIGKILL'
      && execFileSync(process.execPath, ['-p', '6 * 7']).toString() === '42\n';
  },
  temporary_files: () => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'a-'));
    fs.writeFileSync(path.join(folder, 'file'), Buffer.alloc(1 << 20));
    fs.renameSync(path.join(folder, 'file'), path.join(folder, 'moved'));
    const { size } = fs.statSync(path.join(folder, 'moved'));
    fs.rmSync(folder, { recursive: true });
    return size === 1 << 20 && folder.startsWith('/tmp/');
  },
  tls: async () => {
    const [cert, key] = ['cert', 'key'].map((name) => fs.readFileSync(`/app/${name}.pem`));
    const server = tls.createServer({ cert, key }, (socket) => socket.end('over tls')).on('tlsClientError', () => {});
    await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
    const { port } = server.address();
    const good = await fetched(port, { ca: cert });
    const stranger = await fetched(port, {}).catch((error) => error.code);
    server.close();
    return good === 'over tls' && /SELF_SIGNED|UNABLE_TO_VERIFY/.test(stranger) ? true : `${good} ${stranger}`;
  },
  maps: () => {
    const memory = new Uint8Array(new WebAssembly.Memory({ initial: 16384 }).buffer); // 1 GB, and the room that V8 reserves beside it
    memory[0] = 1;
    memory[memory.length - 1] = 2;
    return memory.length === 2 ** 30 && memory[0] + memory[memory.length - 1] === 3;
  },
  signals: () => new Promise((resolve) => {
    process.once('SIGUSR2', () => resolve(true));
    process.kill(process.pid, 'SIGUSR2');
  }),
};

module.exports.handle = async () => {
  const told = {};
  for (const [name, each] of Object.entries(work)) {
    try {
      const answer = await each();
      told[name] = answer === true ? 'ok' : String(answer);
    } catch (error) {
      told[name] = String(error);
    }
  }
  return told;
};
