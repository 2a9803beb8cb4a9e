// The scheduler: starts the jobs of `config/jobs.json` as `tools/data-services/workflow-orchestrator.js` says, if that does so
// itself. With Dagster's it has nothing to do.
'use strict';

const fs = require('fs');
const { execFile } = require('child_process');
const { Refusal, serve } = require('./lib/site.js');
const orchestrator = require('../tools/data-services/workflow-orchestrator.js');

const JOBS = 'config/jobs.json';
const LOOK_EVERY_MS = 60_000;

const schedules = typeof orchestrator.schedule === 'function';
const jobs = () => JSON.parse(fs.readFileSync(JOBS, 'utf8'));
const started = new Set();

/** Starts what is due in this hour and was not started in it yet. */
function look() {
  const hour = new Date().toISOString().slice(0, 13);
  for (const name of orchestrator.schedule(jobs())) {
    if (started.has(`${name} ${hour}`)) continue;
    started.add(`${name} ${hour}`);
    execFile('bin/npm', ['run', '--silent', name], (error) => console.log(`${name}: ${error?.message ?? 'done'}`));
  }
}

if (schedules) setInterval(look, LOOK_EVERY_MS);

serve('scheduler', {
  'GET /health': async () => ({ engine: orchestrator.name }),
  'GET /schedule': async () => {
    if (!schedules) throw new Refusal(503, `${orchestrator.name} starts the jobs`);
    return jobs().map(({ name, hour }) => `${name} at ${String(hour).padStart(2, '0')}:00 UTC\n`).join('');
  },
});
