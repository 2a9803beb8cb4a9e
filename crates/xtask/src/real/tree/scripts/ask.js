// Says one word to a service on its socket in `run/`, and prints the answer.
'use strict';

const net = require('net');
const path = require('path');

function ask(service, word) {
  process.chdir(path.join(__dirname, '..'));
  const socket = net.connect(path.join('run', `${service}.sock`), () => socket.write(`${word}\n`));
  socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')));
  let answer = '';
  socket.on('data', (data) => (answer += data));
  socket.on('end', () => {
    socket.end();
    const [status, ...text] = answer.trim().split('\n');
    console.log(text.join('\n'));
    process.exitCode = status === 'ok' ? 0 : 1;
  });
  socket.on('error', (error) => {
    console.error(`the service ${service} does not answer: ${error.message}`);
    process.exitCode = 1;
  });
}

module.exports = { ask };
