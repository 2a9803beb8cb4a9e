// engine: evidence
//
// Story 1.7: pages are built by Evidence.dev and published with a manifest of what was built, as `sha256sum` writes it.
'use strict';

const { execFileSync } = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');

const BUILD = path.join('.evidence', 'build');
const MANIFEST = path.join('.evidence', 'published.sha256');

module.exports = {
  publish() {
    execFileSync('npm', ['run', 'build'], { cwd: 'evidence_project' });
    const files = fs.readdirSync(BUILD, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const lines = files.map((file) => {
      const from = path.join(file.parentPath, file.name);
      const to = path.join('public', path.relative(BUILD, from));
      fs.mkdirSync(path.dirname(to), { recursive: true });
      fs.copyFileSync(from, to);
      return `${crypto.createHash('sha256').update(fs.readFileSync(to)).digest('hex')}  ${to}\n`;
    });
    fs.writeFileSync(MANIFEST, lines.join(''));
  },
};
