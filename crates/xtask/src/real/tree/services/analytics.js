// Analytics: answers queries with the engine that `tools/data-services/analytical-engine.js` is.
'use strict';

const { Refusal, flagIsOn, log, obey, serve } = require('./lib/site.js');
const { AnalyticalEngine } = require('../tools/data-services/analytical-engine.js');

const engine = new AnalyticalEngine(() => flagIsOn('duckdb_analytics'));

/** What people ask is logged, one line a query. */
async function logged(query) {
  try {
    const rows = await query();
    log('analytics', `query answered: ${rows.length} rows`);
    return rows;
  } catch (error) {
    log('analytics', `query failed: ${error.message}`);
    throw error;
  }
}

serve(
  'analytics',
  {
    'GET /health': async () => {
      try {
        return { engine: engine.name, ...(await engine.health()) };
      } catch (error) {
        throw new Refusal(503, error.message);
      }
    },
    'GET /revenue': async () => ({ engine: engine.name, rows: await logged(() => engine.revenueByRegion()) }),
  },
  { close: () => engine.close() },
);

obey('analytics', {
  'stop-queries': async () => `running queries cancelled: ${await engine.close()}; no database is open`,
  // Taking a rollback back opens the database before the flag is on again: the service only has to be ready for it.
  open: async () => {
    if (!flagIsOn('duckdb_analytics')) return 'the database is opened once the flag is on';
    await engine.health();
    return `the ${engine.name} engine answers`;
  },
});

// Whoever holds a database open shows it from the beginning, not from the first query on.
engine.health().catch((error) => console.error(error.message));
