// Makes the site's data, always the same: the orders, the analytics database that holds them, the nightly summary.
'use strict';

const fs = require('fs');
const path = require('path');
const { DuckDBInstance } = require('@duckdb/node-api');

const REGIONS = ['east', 'north', 'south', 'west'];
const ORDERS = 12_400;

/** The high half of SplitMix64's first steps: no two runs differ. */
function order(id) {
  const mix = (BigInt(id) + 1n) * 0x9e3779b97f4a7c15n & 0xffffffffffffffffn;
  const bits = Number((mix ^ (mix >> 30n)) >> 20n & 0xffffffffn);
  return `${id},${REGIONS[bits % 4]},${(bits >>> 2) % 365},${100 + ((bits >>> 11) % 9_900)}`;
}

async function main() {
  process.chdir(path.join(__dirname, '..'));
  for (const folder of ['data', 'summaries', '.duckdb']) fs.mkdirSync(folder, { recursive: true });
  const lines = Array.from({ length: ORDERS }, (_, id) => order(id));
  fs.writeFileSync('data/orders.csv', `id,region,day,amount\n${lines.join('\n')}\n`);
  fs.writeFileSync('data/corrections.csv', 'id,amount\n');
  const instance = await DuckDBInstance.create(path.join('.duckdb', 'analytics.db'));
  const connection = await instance.connect();
  await connection.run("CREATE TABLE orders AS SELECT * FROM read_csv('data/orders.csv')");
  await connection.run(`COPY (SELECT region, sum(amount) AS revenue FROM orders GROUP BY region ORDER BY region)
    TO 'summaries/revenue-by-region.csv' (HEADER)`);
  await connection.run('CHECKPOINT');
  connection.closeSync();
  instance.closeSync();
}

main().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
