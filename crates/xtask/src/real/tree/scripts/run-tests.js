// `node scripts/run-tests.js`: runs the site's tests and leaves `run/test-results.json`, as `jest --json --outputFile` writes it.
'use strict';

const fs = require('fs');
const path = require('path');
const { run } = require('node:test');

process.chdir(path.join(__dirname, '..'));

const files = fs
  .readdirSync('tests', { recursive: true })
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => path.resolve('tests', name));
const results = new Map(files.map((name) => [name, { name, assertionResults: [] }]));

function told(status) {
  return ({ name, file, skip }) => {
    // The runner tells each file as a test of its own as well.
    if (!file || path.resolve(name) === file) return;
    results.get(file).assertionResults.push({ title: name, status: skip === undefined ? status : 'pending' });
    console.log(`${status}: ${path.relative('tests', file)}: ${name}`);
  };
}

run({ files, concurrency: 1 })
  .on('test:pass', told('passed'))
  .on('test:fail', told('failed'))
  .on('test:fail', () => (process.exitCode = 1))
  .on('end', () => {
    const record = path.join('run', 'test-results.json');
    fs.writeFileSync(`${record}.new`, `${JSON.stringify({ testResults: [...results.values()] })}\n`);
    fs.renameSync(`${record}.new`, record);
  })
  .resume();
