// Story 1.2: keeps one Python process with PyAirbyte running, as long as ingestion is switched on, and talks to it in lines
// of JSON. The process has a life of its own: a sync goes on when this service restarts, which then finds it again.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const net = require('net');
const path = require('path');

const PYTHON = path.resolve('.venv', 'bin', 'python3');
const SOCKET = path.join('run', 'pyairbyte.sock');
// By its cache everybody can tell whose process it is: the interpreter is the same for all sites.
const ARGUMENTS = ['-m', 'airbyte', '--cache', path.resolve('.cache', 'pyairbyte'), '--socket', SOCKET];
const PID = path.join('run', 'pyairbyte.pid');
const LOOK_EVERY_MS = 100;
const ANSWER_MS = 5_000;

class PyAirbyte {
  #isOn;

  constructor(isOn) {
    this.#isOn = isOn;
    this.#keep();
  }

  /** Whether one answers. */
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

  /** Whoever started it; it may not answer yet. */
  #isThere() {
    try {
      const words = fs.readFileSync(`/proc/${Number(fs.readFileSync(PID, 'utf8'))}/cmdline`, 'utf8').split('\0');
      return words[0] === PYTHON && words[2] === ARGUMENTS[1];
    } catch {
      return false;
    }
  }

  /** Starts one when there is none and one is wanted, from now on. Nothing happens between the look and the start. */
  #keep() {
    if (this.#isOn() && !this.#isThere()) {
      const child = spawn(PYTHON, ARGUMENTS, { detached: true, stdio: 'ignore' });
      child.on('error', (error) => console.error(`PyAirbyte: ${error.message}`));
      child.unref();
      if (child.pid) fs.writeFileSync(PID, `${child.pid}\n`);
    }
    setTimeout(() => this.#keep(), LOOK_EVERY_MS).unref();
  }
}

module.exports = { PyAirbyte };
