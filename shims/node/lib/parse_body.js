'use strict';

// The second argument of `handle`: the body as its content type says. What it cannot make sense of stays text or bytes; nothing here fails a request.

// Media types outside text/* that are text.
const TEXT = /^(text\/.+|application\/(xml|javascript|ecmascript|yaml|x-yaml|graphql|x-ndjson|ndjson|sql|toml)|.+\+(xml|yaml))$/;

// JSON parsed (a string if it does not parse), form -> object, other text -> string, binary -> Buffer, empty -> undefined.
function parseBody(contentType, bytes) {
  if (bytes.length === 0) return undefined;
  if (contentType === undefined) return bytes;
  const [type, ...parameters] = contentType.split(';');
  const media = type.trim().toLowerCase();
  if (media === 'application/json' || media.endsWith('+json')) {
    const text = bytes.toString('utf8');
    try {
      return JSON.parse(text.charCodeAt(0) === 0xfeff ? text.slice(1) : text);
    } catch {
      return text;
    }
  }
  if (media === 'application/x-www-form-urlencoded') return require('node:querystring').parse(bytes.toString('utf8'));
  if (TEXT.test(media)) return decode(parameters, bytes);
  return bytes;
}

function decode(parameters, bytes) {
  const named = parameters.map((text) => /^\s*charset\s*=\s*"?([^"\s]+)"?\s*$/i.exec(text)).find((found) => found !== null);
  if (!named || /^utf-?8$/i.test(named[1])) return bytes.toString('utf8');
  try {
    return new TextDecoder(named[1]).decode(bytes);
  } catch {
    return bytes.toString('utf8'); // a charset that nobody knows
  }
}

module.exports = { parseBody };
