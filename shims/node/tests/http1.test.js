'use strict';

const assert = require('node:assert');
const { test } = require('node:test');

const { answerHead, checkHeaders, decoderFor, parseHead } = require('../lib/http1.js');

const parse = (...lines) => parseHead(lines.join('\r\n'));

test('a head is parsed, repeated headers in order', () => {
  const head = parse('POST /a?b=c HTTP/1.1', 'host: x', 'x-a: 1', 'x-request-id: r', 'x-a:\t2 ', 'content-length: 12');
  assert.deepStrictEqual([head.method, head.target, head.length, head.requestId], ['POST', '/a?b=c', 12, 'r']);
  assert.deepStrictEqual(head.headers.filter((_text, at, all) => all[at - (at % 2)] === 'x-a'), ['x-a', '1', 'x-a', '2']);
  assert.strictEqual(parse('GET / HTTP/1.1', 'transfer-encoding: chunked').length, -1);
});

test('what the platform would not send is no head', () => {
  const cases = [
    ['GET / HTTP/1.0'], ['GET /'], ['GET  / HTTP/1.1'], ['G(T / HTTP/1.1'], ['GET / HTTP/1.1', 'no colon'], ['GET / HTTP/1.1', ': empty'], ['GET / HTTP/1.1', 'a b: c'],
    ['GET / HTTP/1.1', 'x: a', ' folded'], ['GET / HTTP/1.1', 'x: a\rb'], ['GET / HTTP/1.1', 'x: a\nb: c'], ['GET / HTTP/1.1', 'x: \0'],
    ['GET / HTTP/1.1', 'content-length: 1', 'content-length: 1'], ['GET / HTTP/1.1', 'content-length: 1', 'transfer-encoding: chunked'], ['GET / HTTP/1.1', 'content-length: +1'],
    ['GET / HTTP/1.1', 'content-length: 1234567890123456'], ['GET / HTTP/1.1', 'transfer-encoding: gzip, chunked'],
  ];
  for (const lines of cases) assert.strictEqual(parse(...lines), null, JSON.stringify(lines));
});

function decode(head, wire, cut) {
  const decoder = decoderFor(parseHead(`POST / HTTP/1.1\r\n${head}`));
  const pieces = [];
  let rest = Buffer.alloc(0);
  for (let at = 0; at < wire.length; at += cut) {
    const part = Buffer.from(wire.slice(at, at + cut), 'latin1');
    if (decoder.done) {
      rest = Buffer.concat([rest, part]);
      continue;
    }
    const left = decoder.feed(part, (piece) => pieces.push(Buffer.from(piece)));
    if (left === null) return null;
    rest = Buffer.concat([rest, left]);
  }
  return [Buffer.concat(pieces).toString('latin1'), decoder.done, rest.toString('latin1')];
}

test('bodies come out of their framing, wherever it is cut', () => {
  for (let cut = 1; cut < 40; cut++) {
    assert.deepStrictEqual(decode('content-length: 5', 'helloGET', cut), ['hello', true, 'GET']);
    assert.deepStrictEqual(decode('transfer-encoding: chunked', '3\r\nabc\r\n00a\r\n0123456789\r\n0\r\n\r\nGET', cut), ['abc0123456789', true, 'GET']);
    assert.deepStrictEqual(decode('transfer-encoding: chunked', '1\r\na\r\n0\r\nx: y\r\n\r\nrest', cut), ['a', true, 'rest']);
    assert.deepStrictEqual(decode('transfer-encoding: chunked', '5\r\nab', cut), ['ab', false, '']);
  }
});

test('bytes that are no chunks are refused, wherever they are cut', () => {
  for (const wire of ['x\r\n', '\r\n', '-1\r\n', '1;ext=1\r\na\r\n', '1\na', '1\r\nab\r\n', '1\r\na\n\r', '11111111111111\r\n', `0\r\n${'x: y\r\n'.repeat(3000)}`, `${'1'.repeat(40)}`]) {
    for (const cut of [1, 7, 100_000]) assert.strictEqual(decode('transfer-encoding: chunked', wire, cut), null, `${wire.slice(0, 40)} ${cut}`);
  }
});

test('answer headers that would become a second answer are refused', () => {
  for (const headers of [['x', 'a\r\nset-cookie: b'], ['x', 'a\n'], ['x\r\ny', 'a'], ['x:', 'a'], ['', 'a'], ['x', 'a\0'], ['x', 'ü€'], ['content-length', '1x'], ['content-length', '1', 'content-length', '2']]) {
    assert.throws(() => checkHeaders(headers), TypeError, JSON.stringify(headers));
  }
});

test('framing and connection are the shim\'s to say', () => {
  const { lines, length } = checkHeaders(['Connection', 'close', 'Transfer-Encoding', 'gzip', 'Upgrade', 'h2c', 'Content-Length', ' 7 ', 'X-A', 'b\tc']);
  assert.deepStrictEqual([lines, length], ['x-a: b\tc\r\n', 7]);
  assert.strictEqual(answerHead(200, lines, 7, false), 'HTTP/1.1 200 OK\r\nx-a: b\tc\r\ncontent-length: 7\r\n\r\n');
  assert.strictEqual(answerHead(299, '', 'chunked', true), 'HTTP/1.1 299 \r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n');
});
