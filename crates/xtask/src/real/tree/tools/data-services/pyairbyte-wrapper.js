// Story 1.2: keeps one Python process with PyAirbyte, and talks to it in lines of JSON. A process that ends is started
// again, as long as ingestion is switched on.
'use strict';

const { spawn } = require('child_process');
const path = require('path');
const readline = require('readline');

const PYTHON = path.resolve('.venv', 'bin', 'python3');
const CACHE = path.join('.cache', 'pyairbyte');
const START_AGAIN_MS = 200;
const ANSWER_MS = 5_000;

class PyAirbyte {
  #isOn;
  #child;
  #isClosing = false;
  #asked = [];

  constructor(isOn) {
    this.#isOn = isOn;
    this.#start();
  }

  get pid() {
    return this.#child?.pid;
  }

  ask(request) {
    const child = this.#child;
    if (!child) return Promise.reject(new Error('PyAirbyte does not run'));
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('PyAirbyte does not answer')), ANSWER_MS);
      this.#asked.push((error, answer) => {
        clearTimeout(timer);
        if (error) reject(error);
        else if (answer.error) reject(new Error(answer.error));
        else resolve(answer);
      });
      child.stdin.write(`${JSON.stringify(request)}\n`);
    });
  }

  close() {
    this.#isClosing = true;
    const child = this.#child;
    if (!child) return Promise.resolve();
    return new Promise((resolve) => {
      child.once('exit', resolve);
      child.kill('SIGTERM');
    });
  }

  #start() {
    if (this.#isClosing) return;
    if (!this.#isOn()) {
      setTimeout(() => this.#start(), START_AGAIN_MS).unref();
      return;
    }
    const child = spawn(PYTHON, ['-m', 'airbyte', '--cache', CACHE], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child = child;
    child.stdin.on('error', () => {});
    child.on('error', (error) => console.error(`PyAirbyte: ${error.message}`));
    readline.createInterface({ input: child.stdout }).on('line', (line) => {
      this.#asked.shift()?.(undefined, JSON.parse(line));
    });
    child.once('close', () => {
      this.#child = undefined;
      for (const tell of this.#asked.splice(0)) tell(new Error('PyAirbyte ended'));
      setTimeout(() => this.#start(), START_AGAIN_MS).unref();
    });
  }
}

module.exports = { PyAirbyte };
