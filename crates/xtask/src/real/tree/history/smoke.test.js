// Every service answers.
'use strict';

const assert = require('node:assert');
const test = require('node:test');
const { address } = require('../services/lib/site.js');

for (const name of ['core', 'analytics', 'ingestion', 'api']) {
  test(`${name} answers`, async () => {
    const { host, port } = address(name);
    assert.strictEqual((await fetch(`http://${host}:${port}/health`)).status, 200);
  });
}
