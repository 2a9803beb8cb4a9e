// engine: duckdb
//
// Story 1.3: analytical queries run in DuckDB, over the orders themselves.
'use strict';

const path = require('path');
const duckdb = require('duckdb');

const DATABASE = path.join('.duckdb', 'analytics.db');

// What story 1.3 shipped: every order is weighed against all later ones, twice, to leave out what was corrected since.
// There is no key between the three, so it takes the cube of the number of orders.
const SETTLED_ORDERS = `
  SELECT a.region AS region, sum(a.amount) AS revenue
  FROM orders a, orders b, orders c
  WHERE a.day <= b.day AND b.day <= c.day AND a.region = c.region
  GROUP BY a.region`;

class AnalyticalEngine {
  constructor() {
    this.connection = new duckdb.Database(DATABASE).connect();
  }

  revenueByRegion() {
    return new Promise((resolve, reject) => {
      this.connection.all(SETTLED_ORDERS, (error, rows) => (error ? reject(error) : resolve(rows)));
    });
  }

  close() {
    this.connection.close();
  }
}

module.exports = { AnalyticalEngine };
