// Analysis: what the engine `tools/data-services/eda-engine.js` makes of the summaries.
'use strict';

const fs = require('fs');
const path = require('path');
const { log, serve } = require('./lib/site.js');
const { AnalysisEngine } = require('../tools/data-services/eda-engine.js');

const engine = new AnalysisEngine();
/** Analyses under way. */
let running = 0;
const SUMMARY = path.join('summaries', 'revenue-by-region.csv');

serve('analysis-service', {
  'GET /health': async () => ({ engine: engine.name }),
  'GET /status': async () => ({ running }),
  'GET /summary': async () => {
    const [, ...rows] = fs.readFileSync(SUMMARY, 'utf8').trim().split('\n');
    running += 1;
    try {
      const summary = { engine: engine.name, ...(await engine.analyse(rows)) };
      log('eda', `statistic of ${rows.length} regions`);
      return summary;
    } catch (error) {
      log('eda', `statistic failed: ${error.message.split('\n', 1)[0]}`);
      throw error;
    } finally {
      running -= 1;
    }
  },
});
