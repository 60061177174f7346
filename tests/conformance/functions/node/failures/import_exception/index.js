'use strict';

throw new Error('conformance import');
