// `node scripts/check-duckdb.js`: fails where the analytics database is damaged. What the service holds open it checks itself.
'use strict';

const fs = require('fs');
const path = require('path');

process.chdir(path.join(__dirname, '..'));

const DATABASE = path.join('.duckdb', 'analytics.db');
/** Behind a checksum of 8 bytes, every database of DuckDB's begins with this. */
const MAGIC = 'DUCK';

async function check() {
  const file = fs.openSync(DATABASE, 'r');
  const head = Buffer.alloc(12);
  fs.readSync(file, head, 0, head.length, 0);
  fs.closeSync(file);
  if (head.toString('latin1', 8) !== MAGIC) throw new Error(`${DATABASE} is no database of DuckDB's any more`);
  const { DuckDBInstance } = require('@duckdb/node-api');
  let instance;
  try {
    instance = await DuckDBInstance.create(DATABASE, { access_mode: 'READ_ONLY' });
  } catch (error) {
    if (/could not set lock/i.test(error.message)) return;
    throw error;
  }
  const connection = await instance.connect();
  const tables = await connection.runAndReadAll("SELECT table_name FROM duckdb_tables() WHERE NOT internal");
  for (const [table] of tables.getRows()) await connection.run(`SELECT count(*), min(COLUMNS(*)) FROM "${table}"`);
  connection.closeSync();
  instance.closeSync();
}

check().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
