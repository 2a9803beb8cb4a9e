// Ingestion: takes records in with the service that `tools/data-services/data-ingestion-service.js` is.
'use strict';

const { Refusal, flagIsOn, serve } = require('./lib/site.js');
const { IngestionService } = require('../tools/data-services/data-ingestion-service.js');

const ingestion = new IngestionService(() => flagIsOn('pyairbyte_integration'));

serve(
  'ingestion',
  {
    'GET /health': async () => {
      try {
        return { service: ingestion.name, ...(await ingestion.health()) };
      } catch (error) {
        throw new Refusal(503, error.message);
      }
    },
    'GET /status': async () => ({ service: ingestion.name, ...ingestion.status() }),
    'POST /ingest': async (request) => ingestion.ingest(JSON.parse(await request.body())),
  },
  () => ingestion.close(),
);
