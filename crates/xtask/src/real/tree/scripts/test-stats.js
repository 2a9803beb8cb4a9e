// `node scripts/test-stats.js integration-pass-ratio`: of the integration tests of the last run, the part that passed. The run
// leaves `run/test-results.json`, as `jest --json --outputFile` writes it. Tests of the contracts are tests of parts together.
'use strict';

const fs = require('fs');
const path = require('path');

process.chdir(path.join(__dirname, '..'));

process.on('uncaughtException', (error) => {
  console.error(error.message);
  process.exit(1);
});

if (process.argv[2] !== 'integration-pass-ratio') throw new Error('usage: test-stats.js integration-pass-ratio');
const { testResults } = JSON.parse(fs.readFileSync(path.join('run', 'test-results.json'), 'utf8'));
const INTEGRATION = ['integration', 'contract'];
const files = testResults.filter(({ name }) => name.split('/').some((part) => INTEGRATION.includes(part)));
const tests = files.flatMap(({ assertionResults }) => assertionResults).filter(({ status }) => status !== 'pending');
if (tests.length === 0) throw new Error('the last run has no integration test');
console.log(tests.filter(({ status }) => status === 'passed').length / tests.length);
