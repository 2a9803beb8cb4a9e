// `node scripts/healthy.js NAME… | all`: waits until the services answer as they should, for at most 20 seconds.
// With `--now` it looks once.
'use strict';

const fs = require('fs');
const { address } = require('../services/lib/site.js');

const WITHIN_MS = 20_000;
const EVERY_MS = 50;
/** Dagster's webserver has its own. */
const PATHS = { dagster: '/server_info' };

async function look(name) {
  const { host, port } = address(name);
  const answer = await fetch(`http://${host}:${port}${PATHS[name] ?? '/health'}`, { signal: AbortSignal.timeout(5_000) });
  const text = (await answer.text()).trim();
  if (answer.status !== 200) throw new Error(`status ${answer.status}: ${text}`);
  return text;
}

async function wait(name, until) {
  for (;;) {
    try {
      return await look(name);
    } catch (error) {
      if (Date.now() >= until) throw new Error(`${name}: ${error.cause?.message ?? error.message}`);
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
    }
  }
}

async function main(args) {
  const until = args.includes('--now') ? 0 : Date.now() + WITHIN_MS;
  const wanted = args.filter((arg) => arg !== '--now');
  const all = Object.keys(JSON.parse(fs.readFileSync('config/network.json', 'utf8')).ports);
  const names = wanted.includes('all') ? all : wanted.map((name) => (name === 'data-ingestion-service' ? 'ingestion' : name));
  if (names.length === 0) throw new Error('usage: healthy.js [--now] NAME… | all');
  for (const name of names) console.log(`${name}: ${await wait(name, until)}`);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
