// `npm run test:rollback:ingestion`: story 1.2 is taken back: the stub answers, the flag is off, no PyAirbyte runs.
'use strict';

const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { ROOT, address, flagIsOn } = require('../services/lib/site.js');

/** Processes of this site whose command line is that of PyAirbyte. */
function connectors() {
  const isConnector = (pid) => {
    try {
      const words = fs.readFileSync(path.join('/proc', pid, 'cmdline'), 'utf8').split('\0');
      return words[1] === '-m' && words[2] === 'airbyte' && fs.readlinkSync(path.join('/proc', pid, 'cwd')) === ROOT;
    } catch {
      return false; // It ended meanwhile.
    }
  };
  return fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isConnector(name));
}

async function main() {
  const { host, port } = address('ingestion');
  const answer = await fetch(`http://${host}:${port}/status`, { signal: AbortSignal.timeout(5_000) });
  assert.deepStrictEqual(await answer.json(), { engine: 'stub', accepting: false });
  assert.strictEqual(flagIsOn('pyairbyte_integration'), false, 'the flag is on');
  assert.deepStrictEqual(connectors(), [], 'PyAirbyte runs');
  console.log('story 1.2 is taken back');
}

main().catch((error) => {
  console.error(error.cause?.message ?? error.message);
  process.exitCode = 1;
});
