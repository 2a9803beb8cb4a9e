// `npm run feature:toggle FLAG on|off`: sets one flag; every other byte of the file stays.
'use strict';

const fs = require('fs');
const path = require('path');
const yaml = require('yaml');

const FLAGS = path.join(__dirname, '..', 'config', 'feature-flags.yaml');

function main([flag, value]) {
  if (!flag || !['on', 'off'].includes(value)) throw new Error('usage: feature-toggle.js FLAG on|off');
  const text = fs.readFileSync(FLAGS, 'utf8');
  const scalar = yaml.parseDocument(text).getIn(['flags', flag, 'enabled'], true);
  if (!scalar) throw new Error(`there is no flag ${flag}`);
  const [from, to] = scalar.range;
  fs.writeFileSync(`${FLAGS}.new`, text.slice(0, from) + (value === 'on') + text.slice(to));
  fs.renameSync(`${FLAGS}.new`, FLAGS);
  console.log(`${flag} is ${value}`);
}

try {
  main(process.argv.slice(2));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
