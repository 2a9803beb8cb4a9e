// Takes over when story 1.6 is taken back: counts, and guesses nothing.
'use strict';

class AnalysisEngine {
  name = 'basic';

  async analyse(rows) {
    return { regions: rows.length };
  }
}

module.exports = { AnalysisEngine };
