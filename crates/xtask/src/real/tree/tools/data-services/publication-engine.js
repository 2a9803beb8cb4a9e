// Story 1.7: pages are built by Evidence.dev. As long as it is switched on, a build is kept going, by npm, in processes that
// outlive this service.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');

const PROJECT = 'evidence_project';
const PAGE = path.join('public', 'index.html');
const PID = path.join('run', 'evidence-build.pid');
/** What a build leaves behind: when it began, and, once it has ended, when and how. */
const RECORD = path.join('run', 'evidence-build.json');
const LOOK_EVERY_MS = 100;

class PublicationEngine {
  name = 'evidence';
  #isOn;

  /** While `isOn` says no, no build is started. */
  constructor(isOn) {
    this.#isOn = isOn;
    this.#keep();
  }

  /** What was published last. */
  async page() {
    return fs.readFileSync(PAGE, 'utf8');
  }

  /** Whoever started it: npm at work in the project. */
  #isThere() {
    try {
      const npm = `/proc/${Number(fs.readFileSync(PID, 'utf8'))}`;
      return fs.readlinkSync(`${npm}/cwd`) === path.resolve(PROJECT) && fs.readFileSync(`${npm}/cmdline`, 'utf8') !== '';
    } catch {
      return false;
    }
  }

  #record(build) {
    fs.writeFileSync(`${RECORD}.new`, `${JSON.stringify(build)}\n`);
    fs.renameSync(`${RECORD}.new`, RECORD);
  }

  #keep() {
    if (this.#isOn() && fs.existsSync(PROJECT) && !this.#isThere()) {
      const npm = spawn(path.resolve('bin', 'npm'), ['run', 'build'], { cwd: PROJECT, detached: true, stdio: 'ignore' });
      npm.on('error', (error) => console.error(`npm: ${error.message}`));
      npm.unref();
      if (npm.pid) {
        fs.writeFileSync(PID, `${npm.pid}\n`);
        const started = new Date().toISOString();
        this.#record({ started });
        // Of a build that outlives this service the end is not seen; it is found gone, and the next one is recorded.
        npm.on('exit', (code) => this.#record({ started, finished: new Date().toISOString(), exit: code ?? 1 }));
      }
    }
    setTimeout(() => this.#keep(), LOOK_EVERY_MS).unref();
  }
}

module.exports = { PublicationEngine };
