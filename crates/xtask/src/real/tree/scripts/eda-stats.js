// `node scripts/eda-stats.js running`: how many analyses the analysis service makes now.
'use strict';

const fs = require('fs');
const path = require('path');

process.chdir(path.join(__dirname, '..'));

async function running() {
  if (process.argv[2] !== 'running') throw new Error('usage: eda-stats.js running');
  const { host, ports } = JSON.parse(fs.readFileSync(path.join('config', 'network.json'), 'utf8'));
  const address = `http://${host}:${ports['analysis-service']}/status`;
  const answer = await fetch(address, { signal: AbortSignal.timeout(8_000) });
  const { running: count } = await answer.json();
  if (answer.status !== 200 || !Number.isInteger(count)) throw new Error(`the service does not say: status ${answer.status}`);
  console.log(count);
}

running().catch((error) => {
  console.error(error.cause?.message ?? error.message);
  process.exitCode = 1;
});
