// Core: what the other services need, and the transformations, by `tools/data-services/transformation-engine.js`.
'use strict';

const fs = require('fs');
const yaml = require('yaml');
const { Refusal, flagIsOn, obey, serve } = require('./lib/site.js');
const { TransformationEngine } = require('../tools/data-services/transformation-engine.js');

const config = yaml.parse(fs.readFileSync('core-config.yaml', 'utf8'));
const engine = new TransformationEngine(() => flagIsOn('dbt_transformations'));

serve(
  'core',
  {
    'GET /health': async () => {
      if (!config?.core?.name) throw new Refusal(503, 'core-config.yaml has no name of the core');
      return { core: config.core.name, transformations: engine.name };
    },
    'GET /transform': async () => ({ engine: engine.name, running: engine.running }),
    'POST /transform': async (request) => engine.transform(JSON.parse((await request.body()) || '{}')),
  },
  () => engine.cancel(),
);

obey('core', {
  'cancel-queries': async () => `transformations cancelled: ${await engine.cancel()}`,
});
