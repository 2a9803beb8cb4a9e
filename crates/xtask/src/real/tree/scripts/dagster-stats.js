// `node scripts/dagster-stats.js queued`: how many runs wait in Dagster's queue, as its webserver says.
'use strict';

const fs = require('fs');
const path = require('path');

process.chdir(path.join(__dirname, '..'));

const QUERY = '{ runsOrError(filter: { statuses: [QUEUED] }) { __typename ... on Runs { results { runId } } } }';

async function queued() {
  if (process.argv[2] !== 'queued') throw new Error('usage: dagster-stats.js queued');
  const { host, more } = JSON.parse(fs.readFileSync(path.join('config', 'network.json'), 'utf8'));
  const answer = await fetch(`http://${host}:${more.dagster}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ query: QUERY }),
    signal: AbortSignal.timeout(8_000),
  });
  const { data } = await answer.json();
  if (data?.runsOrError?.__typename !== 'Runs') throw new Error(`Dagster does not say: status ${answer.status}`);
  console.log(data.runsOrError.results.length);
}

queued().catch((error) => {
  console.error(error.cause?.message ?? error.message);
  process.exitCode = 1;
});
