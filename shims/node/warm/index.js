'use strict';

// What a spare loads and asks before there is a function (lib/spare.js): a handler as authors write them.

const path = require('node:path');
const { greeting } = require('./part.js');

module.exports = {
  async handle(context, body) {
    const { name = 'nobody', ...rest } = context.query;
    if (body === undefined) return `${greeting(name)} at ${context.path} ${path.basename(context.url)}\n`;
    if (typeof body === 'object') return { statusCode: 201, headers: { 'x-warm': 'yes' }, body: { ...body, bytes: context.rawBody.length, rest } };
    return { path: context.path, body, headers: Object.entries(context.headers).map(([key, value]) => `${key}=${value}`) };
  },
};
