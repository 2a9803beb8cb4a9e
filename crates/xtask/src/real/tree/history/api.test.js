// Nothing that needs a key answers without one.
'use strict';

const assert = require('node:assert');
const test = require('node:test');
const { address } = require('../../services/lib/site.js');

test('a report needs a key', async () => {
  const { host, port } = address('api');
  assert.strictEqual((await fetch(`http://${host}:${port}/reports`)).status, 401);
});
