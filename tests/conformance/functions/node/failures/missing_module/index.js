'use strict';

require('conformance_missing');

exports.handle = () => 'never';
