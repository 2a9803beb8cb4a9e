// Takes over when story 1.2 is taken back: accepts nothing and says so, so that callers keep what they have.
'use strict';

class IngestionService {
  name = 'stub';

  async accepts() {
    return false;
  }

  async ingest() {
    return { accepted: 0, reason: 'ingestion is switched off' };
  }
}

module.exports = { IngestionService };
