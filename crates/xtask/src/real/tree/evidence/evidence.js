#!/usr/bin/env node
// A stand-in for Evidence (npm: @evidence-dev/evidence), with its name, its place and its command line, so that processes
// look as in life: Evidence has Vite do the work, and ends with it.
//
// The real one installs, but does not build as the registry has it: 40.1.8 has Vite load SvelteKit in a way that the
// versions which it comes with refuse.
'use strict';

const { spawn } = require('child_process');
const path = require('path');

const vite = spawn(process.execPath, [path.join(path.dirname(process.argv[1]), 'vite'), 'build'], {
  detached: true,
  stdio: 'inherit',
});
vite.on('error', (error) => {
  console.error(`vite: ${error.message}`);
  process.exit(1);
});
vite.on('exit', (code) => process.exit(code ?? 1));
