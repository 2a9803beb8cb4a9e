// Asks the analytics service to cancel its queries and to close the database.
// The practice site does the same with `bin/practice-analytics stop-queries`, so that it needs no Node.
'use strict';

const net = require('net');
const path = require('path');

const socket = net.connect(path.join('run', 'analytics.sock'), () => socket.end('stop-queries\n'));
socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')));

let answer = '';
socket.on('data', (data) => (answer += data));
socket.on('end', () => {
  const [status, ...text] = answer.trim().split('\n');
  console.log(text.join('\n'));
  process.exitCode = status === 'ok' ? 0 : 1;
});
socket.on('error', (error) => {
  console.error(`the analytics service does not answer: ${error.message}`);
  process.exitCode = 1;
});
