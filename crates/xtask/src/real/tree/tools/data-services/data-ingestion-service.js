// Story 1.2: records come in through the connectors of PyAirbyte, which run in a Python process of their own.
'use strict';

const { PyAirbyte } = require('./pyairbyte-wrapper.js');

class IngestionService {
  name = 'pyairbyte';
  #airbyte;
  #isOn;

  /** While `isOn` says no, no connector is started, and none that ended is started again. */
  constructor(isOn) {
    this.#isOn = isOn;
    this.#airbyte = new PyAirbyte(isOn);
  }

  async accepts() {
    return this.#isOn() && (await this.#airbyte.lives());
  }

  async ingest({ stream }) {
    if (!this.#isOn()) throw new Error('the flag pyairbyte_integration is off: nothing is read');
    return this.#airbyte.ask({ do: 'read', stream });
  }
}

module.exports = { IngestionService };
