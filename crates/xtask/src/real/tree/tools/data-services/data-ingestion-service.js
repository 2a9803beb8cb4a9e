// Story 1.2: records come in through the connectors of PyAirbyte, which run in a Python process of their own.
'use strict';

const { PyAirbyte } = require('./pyairbyte-wrapper.js');

class IngestionService {
  name = 'pyairbyte';
  #airbyte;

  /** While `isOn` says no, no Python process is started, and none that ended is started again. */
  constructor(isOn) {
    this.#airbyte = new PyAirbyte(isOn);
  }

  status() {
    return { accepts: this.#airbyte.pid !== undefined, python: this.#airbyte.pid ?? null };
  }

  async health() {
    return this.#airbyte.ask({ do: 'ping' });
  }

  async ingest({ stream }) {
    return this.#airbyte.ask({ do: 'read', stream });
  }

  async close() {
    await this.#airbyte.close();
  }
}

module.exports = { IngestionService };
