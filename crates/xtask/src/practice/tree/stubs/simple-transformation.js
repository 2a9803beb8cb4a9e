// engine: simple
//
// Takes over when story 1.4 is taken back: copies columns, transforms nothing.
'use strict';

module.exports = {
  async transform(rows) {
    return rows.map((row) => ({ ...row }));
  },
};
