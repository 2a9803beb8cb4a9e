// Adds up row by row.
'use strict';

module.exports = {
  reduce(rows) {
    return rows.reduce((sums, { region, amount }) => ({ ...sums, [region]: (sums[region] ?? 0) + amount }), {});
  },
};
