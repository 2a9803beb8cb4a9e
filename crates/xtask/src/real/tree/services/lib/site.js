// What every service of the site shares: where it listens, its flags, its logs, and answers in JSON.
'use strict';

const fs = require('fs');
const http = require('http');
const net = require('net');
const path = require('path');
const yaml = require('yaml');

const ROOT = path.join(__dirname, '..', '..');
const FLAGS = path.join('config', 'feature-flags.yaml');
const NETWORK = path.join('config', 'network.json');
const BODY_BYTES_MAX = 64 * 1024;

// Every path in the site's files is relative to the site.
process.chdir(ROOT);

/** The address of a service, as `config/network.json` has it. */
function address(name) {
  const { host, ports, more } = JSON.parse(fs.readFileSync(NETWORK, 'utf8'));
  const port = ports[name] ?? more[name];
  if (!port) throw new Error(`${NETWORK} names no port of ${name}`);
  return { host, port };
}

/** Read at every request, so that a change needs no restart. What is not there is off. */
function flagIsOn(name) {
  const { flags } = yaml.parse(fs.readFileSync(FLAGS, 'utf8'));
  return flags?.[name]?.enabled === true;
}

/** Adds a line to `logs/NAME.log`. Where that cannot be written the service works on, and says so in its own output. */
function log(name, text) {
  try {
    fs.appendFileSync(path.join('logs', `${name}.log`), `${new Date().toISOString()} ${text}\n`);
  } catch (error) {
    console.error(`logs/${name}.log: ${error.message}`);
  }
}

/** A refusal with a status of HTTP. */
class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

function body(request) {
  return new Promise((resolve, reject) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (piece) => {
      text += piece;
      if (text.length > BODY_BYTES_MAX) reject(new Refusal(413, 'the body is too long'));
    });
    request.on('end', () => resolve(text));
    request.on('error', reject);
  });
}

/**
 * Answers `routes`, which map `METHOD /path` to functions that give an object or a text, until a signal ends the process.
 * `close` is called once before the end, `answered` with each request and its status.
 */
function serve(name, routes, { close = async () => {}, answered = () => {} } = {}) {
  const server = http.createServer(async (request, response) => {
    const send = (status, answer) => {
      const isText = typeof answer === 'string';
      response.writeHead(status, { 'content-type': isText ? 'text/plain' : 'application/json' });
      response.end(isText ? answer : `${JSON.stringify(answer)}\n`);
      answered(request, status);
    };
    try {
      const route = routes[`${request.method} ${new URL(request.url, 'http://site').pathname}`];
      if (!route) throw new Refusal(404, 'no such path');
      send(200, await route({ headers: request.headers, body: () => body(request) }));
    } catch (error) {
      send(error.status ?? 500, { error: error.message });
    }
  });
  const { host, port } = address(name);
  server.on('error', (error) => {
    console.error(`${name}: ${error.message}`);
    process.exit(1);
  });
  server.listen(port, host, () => console.log(`${process.pid} serves ${name} at ${host}:${port}`));
  const end = async () => {
    server.close();
    server.closeAllConnections();
    await close();
    process.exit(0);
  };
  process.once('SIGINT', end);
  process.once('SIGTERM', end);
}

/** Obeys words, one a connection, on the socket `run/NAME.sock`: the answer is `ok` or `err` on a line, and a text. */
function obey(name, words) {
  const socket = path.join('run', `${name}.sock`);
  fs.rmSync(socket, { force: true });
  net
    .createServer({ allowHalfOpen: true }, (connection) => {
      let word = '';
      connection.setEncoding('utf8');
      connection.on('error', () => connection.destroy());
      connection.on('data', async (piece) => {
        word += piece;
        if (!word.includes('\n')) return;
        try {
          const act = words[word.trim()];
          if (!act) throw new Error('no such request');
          connection.end(`ok\n${await act()}\n`);
        } catch (error) {
          connection.end(`err\n${error.message}\n`);
        }
      });
    })
    .listen(socket);
}

module.exports = { Refusal, ROOT, address, flagIsOn, log, obey, serve };
