// Story 1.4: transformations are a dbt project, run by dbt in a process of its own, which outlives this service.
'use strict';

const { spawn } = require('child_process');
const path = require('path');

const DBT = path.resolve('.venv', 'bin', 'dbt');
const WHERE = ['--project-dir', 'dbt_project', '--profiles-dir', 'dbt_project', '--log-path', path.join('logs', 'dbt')];

class TransformationEngine {
  name = 'dbt';
  #isOn;
  #running = new Set();

  /** While `isOn` says no, no dbt is started. */
  constructor(isOn) {
    this.#isOn = isOn;
  }

  get running() {
    return this.#running.size;
  }

  /** Runs the models that `select` names, all without it; gives dbt's exit status. */
  transform({ select } = {}) {
    if (!this.#isOn()) throw new Error('the flag dbt_transformations is off: dbt is not run');
    const models = select === undefined ? [] : ['--select', String(select)];
    const child = spawn(DBT, ['run', ...WHERE, ...models], { detached: true, stdio: 'ignore' });
    this.#running.add(child);
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (status, signal) => {
        this.#running.delete(child);
        resolve({ engine: this.name, status, signal });
      });
    });
  }

  /** Ends what runs, and gives how many that were. */
  async cancel() {
    const children = [...this.#running];
    await Promise.all(
      children.map((child) => {
        const gone = new Promise((resolve) => child.once('close', resolve));
        child.kill('SIGTERM');
        return gone;
      }),
    );
    return children.length;
  }
}

module.exports = { TransformationEngine };
