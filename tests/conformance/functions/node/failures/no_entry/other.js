'use strict';

exports.handle = () => 'never';
