'use strict';

exports.init = async () => {
  throw new Error('conformance start');
};

exports.handle = () => 'never';
