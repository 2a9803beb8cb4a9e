// `node scripts/recorded.js NAME COMMAND ARGUMENT…`: runs it, and leaves `run/NAME.json`: when it began, when it ended, and with which
// status. The status is passed on. It runs where it is called.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');

const [name, program, ...args] = process.argv.slice(2);
if (!program || !/^[a-z-]+$/.test(name)) throw new Error('usage: recorded.js NAME COMMAND ARGUMENT…');
const file = path.join(__dirname, '..', 'run', `${name}.json`);
const started = new Date().toISOString();

function leave(record) {
  fs.writeFileSync(`${file}.new`, `${JSON.stringify(record)}\n`);
  fs.renameSync(`${file}.new`, file);
}

function end(exit) {
  leave({ started, finished: new Date().toISOString(), exit });
  process.exitCode = exit;
}

leave({ started });
const child = spawn(program, args, { stdio: 'inherit' });
child.on('error', (error) => {
  console.error(`${program}: ${error.message}`);
  end(127);
});
child.on('exit', (code) => end(code ?? 1));
