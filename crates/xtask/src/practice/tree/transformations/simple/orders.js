// Leaves out what was cancelled.
'use strict';

module.exports = {
  select(rows) {
    return rows.filter((row) => !row.cancelled);
  },
};
