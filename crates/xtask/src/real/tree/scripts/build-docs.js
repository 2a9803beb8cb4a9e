// `node scripts/build-docs.js`: makes one page of all documents in `docs/`; fails where a document links to a file that is not there.
'use strict';

const fs = require('fs');
const path = require('path');

process.chdir(path.join(__dirname, '..'));

const names = fs.readdirSync('docs', { recursive: true }).filter((name) => name.endsWith('.md')).sort();
const broken = [];
const pages = names.map((name) => {
  const text = fs.readFileSync(path.join('docs', name), 'utf8');
  for (const [, target] of text.matchAll(/\]\(([^)#:]+)\)/g)) {
    if (!fs.existsSync(path.join('docs', path.dirname(name), target))) broken.push(`${name} -> ${target}`);
  }
  return text;
});
if (names.length === 0) broken.push('there is no document');
for (const problem of broken) console.error(problem);
fs.writeFileSync(path.join('run', 'docs.md'), pages.join('\n'));
process.exitCode = broken.length > 0 ? 1 : 0;
