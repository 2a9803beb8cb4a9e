// Asks the analytics service to cancel its queries and to close the database.
'use strict';

require('./ask.js').ask('analytics', 'stop-queries');
