// engine: basic
//
// Takes over when story 1.6 is taken back: counts, and guesses nothing.
'use strict';

module.exports = {
  async analyse(rows) {
    return { rows: rows.length };
  },
};
