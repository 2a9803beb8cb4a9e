// Story 1.4: transformations are a dbt project. As long as it is switched on, a run of dbt is kept going, in a process that
// outlives this service.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');

const DBT = path.resolve('.venv', 'bin', 'dbt');
// What a run leaves behind stays beside what people's own runs leave in the project.
const ARTEFACTS = ['--target-path', path.resolve('run', 'dbt', 'target'), '--log-path', path.join('run', 'dbt', 'logs')];
const RUN = ['run', '--project-dir', 'dbt_project', '--profiles-dir', 'dbt_project', ...ARTEFACTS];
const PID = path.join('run', 'dbt.pid');
const LOOK_EVERY_MS = 100;

class TransformationEngine {
  name = 'dbt';
  #isOn;

  /** While `isOn` says no, no run is started. */
  constructor(isOn) {
    this.#isOn = isOn;
    this.#keep();
  }

  get running() {
    return this.#pid() === undefined ? 0 : 1;
  }

  async transform() {
    throw new Error('dbt runs by itself');
  }

  /** Ends the run, and gives how many there were. */
  async cancel() {
    const pid = this.#pid();
    if (pid === undefined) return 0;
    process.kill(pid, 'SIGTERM');
    while (this.#pid() === pid) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    return 1;
  }

  /** The run that lives, whoever started it. */
  #pid() {
    try {
      const pid = Number(fs.readFileSync(PID, 'utf8'));
      return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(DBT) ? pid : undefined;
    } catch {
      return undefined;
    }
  }

  #keep() {
    if (this.#isOn() && this.#pid() === undefined && fs.existsSync('dbt_project')) {
      const run = spawn(DBT, RUN, { detached: true, stdio: 'ignore' });
      run.on('error', (error) => console.error(`dbt: ${error.message}`));
      run.unref();
      if (run.pid) fs.writeFileSync(PID, `${run.pid}\n`);
    }
    setTimeout(() => this.#keep(), LOOK_EVERY_MS).unref();
  }
}

module.exports = { TransformationEngine };
