// `node scripts/ingestion-stats.js rate | backlog | ping`: a number for the feeds of story 1.2, or that the connector answers.
'use strict';

const fs = require('fs');
const net = require('net');
const path = require('path');

process.chdir(path.join(__dirname, '..'));

process.on('uncaughtException', (error) => {
  console.error(error.message);
  process.exit(1);
});

const STATE = path.join('.cache', 'pyairbyte', 'orders.state.json');
const ORDERS = path.join('data', 'orders.csv');
/** What was seen last. */
const SEEN = path.join('run', 'ingestion-stats.json');

/** Records that the connector has read. */
const read = () => JSON.parse(fs.readFileSync(STATE, 'utf8')).cursor;

const WORDS = {
  /** Records a second since the last time that somebody asked; the first time nobody can know. */
  rate: () => {
    const now = { records: read(), at: Date.now() };
    const before = fs.existsSync(SEEN) ? JSON.parse(fs.readFileSync(SEEN, 'utf8')) : null;
    fs.writeFileSync(`${SEEN}.new`, JSON.stringify(now));
    fs.renameSync(`${SEEN}.new`, SEEN);
    if (!before || now.at <= before.at) throw new Error('asked for the first time: there is no rate yet');
    console.log(((now.records - before.records) * 1000) / (now.at - before.at));
  },
  /** Orders that are there and were not read. */
  backlog: () => {
    const lines = fs.readFileSync(ORDERS, 'utf8').trimEnd().split('\n').length;
    console.log(Math.max(0, lines - 1 - read()));
  },
  /** Ends as soon as the connector answers; how long that took is the feed. */
  ping: () => {
    const socket = net.connect(path.join('run', 'pyairbyte.sock'), () => socket.end('{"do":"ping"}\n'));
    let answer = '';
    socket.on('data', (piece) => (answer += piece));
    socket.on('end', () => {
      if (!('streams' in JSON.parse(answer))) throw new Error(`the connector says ${answer}`);
    });
  },
};

const word = WORDS[process.argv[2]];
if (!word) throw new Error('usage: ingestion-stats.js rate | backlog | ping');
word();
