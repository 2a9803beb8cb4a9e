// The services answer.
'use strict';

const assert = require('node:assert');
const test = require('node:test');
const { address } = require('../services/lib/site.js');

test('the api answers', async () => {
  const { host, port } = address('api');
  assert.strictEqual((await fetch(`http://${host}:${port}/health`)).status, 200);
});
