// Asks the core to end the transformations that it runs.
'use strict';

require('./ask.js').ask('core', 'cancel-queries');
