// Analysis: what the engine `tools/data-services/eda-engine.js` makes of the summaries.
'use strict';

const fs = require('fs');
const path = require('path');
const { serve } = require('./lib/site.js');
const { AnalysisEngine } = require('../tools/data-services/eda-engine.js');

const engine = new AnalysisEngine();
const SUMMARY = path.join('summaries', 'revenue-by-region.csv');

serve('analysis-service', {
  'GET /health': async () => ({ engine: engine.name }),
  'GET /summary': async () => {
    const [, ...rows] = fs.readFileSync(SUMMARY, 'utf8').trim().split('\n');
    return { engine: engine.name, ...(await engine.analyse(rows)) };
  },
});
