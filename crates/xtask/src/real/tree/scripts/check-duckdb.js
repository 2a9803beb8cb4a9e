// `node scripts/check-duckdb.js`: ends with 2 where the analytics database is damaged, with 0 where it is whole or was taken out of
// use, and with 1 where it cannot tell.
'use strict';

const fs = require('fs');
const os = require('os');
const path = require('path');
const yaml = require('yaml');

process.chdir(path.join(__dirname, '..'));

const DATABASE = path.join('.duckdb', 'analytics.db');
/** Behind a checksum of 8 bytes, every database of DuckDB's begins with this. */
const MAGIC = 'DUCK';
/** How DuckDB says it. Everything else (no right to read it, another version, no memory) says nothing of the file. */
const DAMAGE = /corrupt|checksum|serialization error|not a valid duckdb|could not read (enough|all)|invalid block/i;
const WHOLE = 0;
const DAMAGED = 2;
const TRIES = 3;

function isInUse() {
  const { flags } = yaml.parse(fs.readFileSync(path.join('config', 'feature-flags.yaml'), 'utf8'));
  return flags?.duckdb_analytics?.enabled === true;
}

/** Reads every column of every table: each block is verified as it comes from the disk. */
async function read(database) {
  const { DuckDBInstance } = require('@duckdb/node-api');
  const quoted = (name) => `"${name.replaceAll('"', '""')}"`;
  const instance = await DuckDBInstance.create(database, { access_mode: 'READ_ONLY' });
  try {
    const connection = await instance.connect();
    const tables = await connection.runAndReadAll(
      'SELECT database_name, schema_name, table_name FROM duckdb_tables() WHERE NOT internal',
    );
    for (const table of tables.getRows()) {
      await connection.run(`SELECT count(*), min(COLUMNS(*)) FROM ${table.map(quoted).join('.')}`);
    }
    connection.closeSync();
  } finally {
    instance.closeSync();
  }
}

/**
 * A copy of what lies on the disk, which a service may hold open: it has its own in memory, and asking it would say nothing of the
 * disk. A checkpoint meanwhile makes the copy a mixture: then it is taken anew.
 */
async function readCopy() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'check-duckdb-'));
  try {
    for (let n = 1; ; n += 1) {
      const copy = path.join(folder, `${n}.db`);
      const before = fs.statSync(DATABASE, { bigint: true }).mtimeNs;
      fs.copyFileSync(DATABASE, copy, fs.constants.COPYFILE_FICLONE);
      const isMixture = () => fs.statSync(DATABASE, { bigint: true }).mtimeNs !== before;
      try {
        return await read(copy);
      } catch (error) {
        if (!isMixture()) throw error;
        if (n === TRIES) throw new Error('it is written all the time');
      }
    }
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

async function check() {
  if (!fs.existsSync(DATABASE)) {
    if (isInUse()) throw new Error(`${DATABASE} is not there, though it is in use`);
    console.log(`${DATABASE} was taken out of use`);
    return WHOLE;
  }
  const file = fs.openSync(DATABASE, 'r');
  const head = Buffer.alloc(12);
  fs.readSync(file, head, 0, head.length, 0);
  fs.closeSync(file);
  if (head.toString('latin1', 8) !== MAGIC) {
    console.error(`${DATABASE} is no database of DuckDB's any more`);
    return DAMAGED;
  }
  try {
    await readCopy();
  } catch (error) {
    if (!DAMAGE.test(error.message)) throw error;
    console.error(error.message);
    return DAMAGED;
  }
  return WHOLE;
}

check().then(
  (status) => (process.exitCode = status),
  (error) => {
    console.error(`cannot tell: ${error.message}`);
    process.exitCode = 1;
  },
);
