// engine: eda
//
// Story 1.6: tables are profiled in Python, and hypotheses about them written down.
'use strict';

const { execFile } = require('child_process');

module.exports = {
  analyse(table) {
    return new Promise((resolve, reject) => {
      const code = 'import sys, sweetviz; print(sweetviz.analyze(sys.argv[1]))';
      execFile('.venv-eda/bin/python3', ['-I', '-c', code, table], (error, out) => (error ? reject(error) : resolve(out)));
    });
  },
};
