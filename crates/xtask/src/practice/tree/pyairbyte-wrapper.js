// Story 1.2: starts a connector in Python. `--state` is where it goes on from the last time.
'use strict';

const { spawn } = require('child_process');

exports.startConnector = (source) => {
  const args = ['-m', 'pyairbyte_wrapper', 'sync', source];
  const child = spawn('.venv/bin/python3', args, { detached: true, stdio: ['ignore', 'pipe', 'inherit'] });
  return {
    sync: () =>
      new Promise((resolve, reject) => {
        let count = 0;
        child.stdout.on('data', (data) => (count += String(data).split('\n').length - 1));
        child.on('exit', (code) => (code === 0 ? resolve(count) : reject(new Error(`${source} ended with ${code}`))));
      }),
  };
};
