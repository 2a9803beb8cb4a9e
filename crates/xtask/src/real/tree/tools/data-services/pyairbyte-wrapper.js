// Story 1.2: keeps one Python process with PyAirbyte running, as long as ingestion is switched on, and talks to it in lines
// of JSON. The process has a life of its own: a sync goes on when this service restarts, which then finds it again.
'use strict';

const { spawn } = require('child_process');
const net = require('net');
const path = require('path');

const PYTHON = path.resolve('.venv', 'bin', 'python3');
const ARGUMENTS = ['-m', 'airbyte', '--cache', path.join('.cache', 'pyairbyte'), '--socket', path.join('run', 'pyairbyte.sock')];
const SOCKET = ARGUMENTS.at(-1);
const LOOK_EVERY_MS = 100;
const ANSWER_MS = 5_000;

class PyAirbyte {
  #isOn;
  #child;

  constructor(isOn) {
    this.#isOn = isOn;
    this.#keep();
  }

  async lives() {
    return this.ask({ do: 'ping' }).then(
      () => true,
      () => false,
    );
  }

  ask(request) {
    return new Promise((resolve, reject) => {
      const connection = net.connect(SOCKET, () => connection.end(`${JSON.stringify(request)}\n`));
      connection.setTimeout(ANSWER_MS, () => connection.destroy(new Error('PyAirbyte does not answer')));
      let text = '';
      connection.setEncoding('utf8');
      connection.on('data', (piece) => (text += piece));
      connection.on('error', reject);
      connection.on('end', () => {
        try {
          const answer = JSON.parse(text);
          if (answer.error) reject(new Error(answer.error));
          else resolve(answer);
        } catch (error) {
          reject(error);
        }
      });
    });
  }

  /** Starts one when there is none and one is wanted, from now on. */
  async #keep() {
    if (this.#isOn() && !this.#child && !(await this.lives())) {
      const child = spawn(PYTHON, ARGUMENTS, { detached: true, stdio: 'ignore' });
      child.on('error', (error) => console.error(`PyAirbyte: ${error.message}`));
      child.once('close', () => (this.#child = undefined));
      child.unref();
      this.#child = child;
    }
    setTimeout(() => this.#keep(), LOOK_EVERY_MS).unref();
  }
}

module.exports = { PyAirbyte };
