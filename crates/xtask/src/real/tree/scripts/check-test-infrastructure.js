// `node scripts/check-test-infrastructure.js`: fails where the tests could not even begin: a dependency is not installed, or there
// is no test.
'use strict';

const fs = require('fs');
const path = require('path');

process.chdir(path.join(__dirname, '..'));

const { dependencies = {} } = JSON.parse(fs.readFileSync('package.json', 'utf8'));
const missing = Object.keys(dependencies).filter((name) => !fs.existsSync(path.join('node_modules', name, 'package.json')));
if (missing.length > 0) throw new Error(`not installed: ${missing.join(', ')}`);
const tests = fs.readdirSync('tests', { recursive: true }).filter((name) => name.endsWith('.test.js'));
if (tests.length === 0) throw new Error('there is no test');
