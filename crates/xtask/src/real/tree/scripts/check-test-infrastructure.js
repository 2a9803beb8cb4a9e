// `node scripts/check-test-infrastructure.js`: ends with 2 where the tests could not even begin, because a dependency is not installed
// or there is no test; with 1 where it cannot tell.
'use strict';

const fs = require('fs');
const path = require('path');

process.chdir(path.join(__dirname, '..'));

const { dependencies = {} } = JSON.parse(fs.readFileSync('package.json', 'utf8'));
const missing = Object.keys(dependencies).filter((name) => !fs.existsSync(path.join('node_modules', name, 'package.json')));
const tests = fs.existsSync('tests') ? fs.readdirSync('tests', { recursive: true }).filter((name) => name.endsWith('.test.js')) : [];
const wrong = [missing.length > 0 && `not installed: ${missing.join(', ')}`, tests.length === 0 && 'there is no test'].filter(Boolean);
if (wrong.length > 0) {
  console.error(wrong.join('; '));
  process.exitCode = 2;
}
