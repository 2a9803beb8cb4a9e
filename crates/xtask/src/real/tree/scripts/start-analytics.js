// Asks the analytics service to open its database again: the way back from `stop-analytics.js`.
'use strict';

require('./ask.js').ask('analytics', 'open');
