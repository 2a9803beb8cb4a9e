// engine: dbt
//
// Story 1.4: rows are transformed by the models of dbt_project, in the warehouse.
'use strict';

const { execFile } = require('child_process');

module.exports = {
  transform() {
    return new Promise((resolve, reject) => {
      const args = ['run', '--project-dir', 'dbt_project'];
      execFile('.venv/bin/dbt', args, (error, stdout) => (error ? reject(error) : resolve(stdout)));
    });
  },
};
