// Story 1.7: pages are built by Evidence.dev. As long as it is switched on, a build is kept going, by npm, in processes that
// outlive this service.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const path = require('path');

const PROJECT = 'evidence_project';
const PAGE = path.join('public', 'index.html');
const PID = path.join('run', 'evidence-build.pid');
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

  /** Whoever started it: a build at work in the project. */
  #isThere() {
    try {
      const build = `/proc/${Number(fs.readFileSync(PID, 'utf8'))}`;
      return fs.readlinkSync(`${build}/cwd`) === path.resolve(PROJECT) && fs.readFileSync(`${build}/cmdline`, 'utf8') !== '';
    } catch {
      return false;
    }
  }

  #keep() {
    if (this.#isOn() && fs.existsSync(PROJECT) && !this.#isThere()) {
      // Whatever becomes of this service, who waits for the build records its end.
      const build = [path.resolve('scripts', 'recorded.js'), 'evidence-build', path.resolve('bin', 'npm'), 'run', 'build'];
      const child = spawn(process.execPath, build, { cwd: PROJECT, detached: true, stdio: 'ignore' });
      child.on('error', (error) => console.error(`the build: ${error.message}`));
      child.unref();
      if (child.pid) fs.writeFileSync(PID, `${child.pid}\n`);
    }
    setTimeout(() => this.#keep(), LOOK_EVERY_MS).unref();
  }
}

module.exports = { PublicationEngine };
