'use strict';
exports.env = {};
