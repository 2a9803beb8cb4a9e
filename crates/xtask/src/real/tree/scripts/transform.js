// `npm run transform`: has the core run the transformations.
'use strict';

const { address } = require('../services/lib/site.js');

const { host, port } = address('core');
fetch(`http://${host}:${port}/transform`, { method: 'POST' })
  .then(async (answer) => {
    console.log((await answer.text()).trim());
    process.exitCode = answer.status === 200 ? 0 : 1;
  })
  .catch((error) => {
    console.error(error.cause?.message ?? error.message);
    process.exitCode = 1;
  });
