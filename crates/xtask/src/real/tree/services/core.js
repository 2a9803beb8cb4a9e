// Core: what the other services need, and the transformations, by `tools/data-services/transformation-engine.js`.
'use strict';

const fs = require('fs');
const yaml = require('yaml');
const { flagIsOn, obey, serve } = require('./lib/site.js');
const { TransformationEngine } = require('../tools/data-services/transformation-engine.js');

const config = yaml.parse(fs.readFileSync('core-config.yaml', 'utf8'));
const engine = new TransformationEngine(() => flagIsOn('dbt_transformations'));

serve('core', {
  'GET /health': async () => ({ engine: engine.name, sessions: config.security?.sessions ?? 'none' }),
  'GET /transform': async () => ({ engine: engine.name, running: engine.running }),
  'POST /transform': async () => engine.transform(),
});

obey('core', {
  'cancel-queries': async () => `transformations cancelled: ${await engine.cancel()}`,
});
