'use strict';

exports.handler = () => 'the name of another platform';
