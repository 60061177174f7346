// Receives webhooks signed like GitHub's: X-Signature-256: sha256=<HMAC of the raw body>. The bytes that are checked are the bytes that came.
const { createHmac, timingSafeEqual } = require('node:crypto');

function signatureFits(raw, header) {
  const expected = Buffer.from('sha256=' + createHmac('sha256', process.env.WEBHOOK_SECRET).update(raw).digest('hex'));
  const given = Buffer.from(header || '');
  return given.length === expected.length && timingSafeEqual(given, expected);
}

module.exports = {
  init() {
    if (!process.env.WEBHOOK_SECRET) throw new Error('WEBHOOK_SECRET is not set: skerry secrets set WEBHOOK_SECRET');
  },
  async handle(context, body) {
    if (context.method !== 'POST') return { statusCode: 405, headers: { allow: 'POST' }, body: 'POST a signed event\n' };
    if (!signatureFits(context.rawBody, context.headers['x-signature-256'])) {
      context.log.warn('a signature does not fit', { bytes: context.rawBody.length });
      return { statusCode: 401, body: { error: 'signature' } };
    }
    context.log.info('event', { type: body && body.type });
    return { accepted: true, type: body && body.type };
  },
};
