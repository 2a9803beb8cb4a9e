// engine: pyairbyte
//
// Story 1.2: connectors of PyAirbyte read the sources, each in a Python process that outlives this one.
'use strict';

const { startConnector } = require('./pyairbyte-wrapper');

module.exports = {
  async ingest(source) {
    const connector = startConnector(source);
    return { accepted: await connector.sync() };
  },
};
