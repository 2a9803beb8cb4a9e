// Ingestion: takes records in with the service that `tools/data-services/data-ingestion-service.js` is.
'use strict';

const { Refusal, flagIsOn, serve } = require('./lib/site.js');
const { IngestionService } = require('../tools/data-services/data-ingestion-service.js');

const ingestion = new IngestionService(() => flagIsOn('pyairbyte_integration'));

serve('ingestion', {
  // Whether the service itself answers; without its connectors it does, and accepts nothing.
  'GET /health': async () => ({ engine: ingestion.name }),
  'GET /status': async () => ({ engine: ingestion.name, accepting: await ingestion.accepts() }),
  'GET /connectors': async () => {
    if (!(await ingestion.accepts())) throw new Refusal(503, 'ingestion is switched off');
    return ['orders'];
  },
  'POST /ingest': async (request) => ingestion.ingest(JSON.parse(await request.body())),
});
