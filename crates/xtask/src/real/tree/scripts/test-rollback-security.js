// `npm run test:rollback:security`: story 1.1.5 is taken back, and nothing is open that was not: what needs authentication
// is unavailable to everybody.
'use strict';

const assert = require('assert');
const fs = require('fs');
const yaml = require('yaml');
const { address } = require('../services/lib/site.js');

async function status(path, headers = {}) {
  const { host, port } = address('api');
  const answer = await fetch(`http://${host}:${port}${path}`, { headers, signal: AbortSignal.timeout(5_000) });
  await answer.arrayBuffer();
  return answer.status;
}

function paths(endpoints) {
  return Object.values(endpoints ?? {}).flatMap((endpoint) => [endpoint.path, ...paths(endpoint.endpoints)]);
}

async function main() {
  assert.strictEqual(await status('/health'), 200, '/health does not answer');
  const { api } = yaml.parse(fs.readFileSync('config/api-config.yaml', 'utf8'));
  for (const path of paths(api.endpoints)) {
    assert.strictEqual(await status(path), 503, `${path} without a key`);
    assert.strictEqual(await status(path, { 'x-api-key': 'practice-key' }), 503, `${path} with a key`);
  }
  console.log('story 1.1.5 is taken back; nothing is open');
}

main().catch((error) => {
  console.error(error.cause?.message ?? error.message);
  process.exitCode = 1;
});
