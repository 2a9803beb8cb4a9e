// The builder of publications: has `tools/data-services/publication-engine.js` build and publish pages, and shows them.
'use strict';

const { flagIsOn, serve } = require('./lib/site.js');
const { PublicationEngine } = require('../tools/data-services/publication-engine.js');

const engine = new PublicationEngine(() => flagIsOn('evidence_publications'));

serve('evidence-builder', {
  'GET /health': async () => ({ engine: engine.name }),
  'GET /': async () => ({ page: await engine.page() }),
});
