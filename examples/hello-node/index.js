// A function that greets, and echoes what it was sent.
module.exports = {
  async handle(context, body) {
    if (context.method === 'POST') return { received: body, bytes: context.rawBody.length };
    return `hello from Node.js at ${context.path}\n`;
  },
};
