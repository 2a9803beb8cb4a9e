// Asks the core to end the transformations that run in the warehouse.
'use strict';

require('./ask.js').ask('core', 'cancel-queries');
