// Takes over when story 1.2 is taken back: accepts nothing and says so, so that callers keep what they have.
'use strict';

class IngestionService {
  name = 'stub';

  status() {
    return { accepts: false, reason: 'ingestion is switched off' };
  }

  async health() {
    return {};
  }

  async ingest() {
    return { accepted: 0, reason: 'ingestion is switched off' };
  }

  async close() {}
}

module.exports = { IngestionService };
