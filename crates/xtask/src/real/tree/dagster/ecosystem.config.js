// Dagster and the scheduler that takes over from it, for pm2.
'use strict';

const path = require('path');
const { host, more } = require('../config/network.json');

const ROOT = path.join(__dirname, '..');
const VENV = path.join(ROOT, '.venv-dagster/bin');
const DEFINITIONS = ['-f', 'dagster/definitions.py', '-d', ROOT];

const common = {
  cwd: ROOT,
  vizion: false,
  pmx: false,
  // What it started it ends itself.
  treekill: false,
  kill_timeout: 10000,
  // What daemon, webserver and the steps of runs say, in one file.
  out_file: path.join(ROOT, 'logs/dagster.log'),
  error_file: path.join(ROOT, 'logs/dagster.log'),
  merge_logs: true,
  restart_delay: 200,
};

const dagster = (name, args) => ({
  ...common,
  name,
  script: path.join(VENV, name),
  interpreter: path.join(VENV, 'python3'),
  args,
  env: { DAGSTER_HOME: path.join(ROOT, 'var/dagster/home'), PYTHONDONTWRITEBYTECODE: '1' },
});

module.exports = {
  apps: [
    dagster('dagster-webserver', ['-h', host, '-p', String(more.dagster), ...DEFINITIONS]),
    dagster('dagster-daemon', ['run', ...DEFINITIONS]),
    { ...common, name: 'scheduler', script: 'services/scheduler.js' },
  ],
};
