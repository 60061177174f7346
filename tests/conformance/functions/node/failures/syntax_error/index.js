'use strict';

exports.handle = function (context, body {
  return 'never';
};
