// engine: duckdb
//
// Story 1.3: analytical queries run in DuckDB, over the orders themselves.
'use strict';

const path = require('path');
const { DuckDBInstance } = require('@duckdb/node-api');

const DATABASE = path.join('.duckdb', 'analytics.db');
const QUERY_TIMEOUT_MS = 2_000;

// What story 1.3 shipped: every order is weighed against each pair of all orders. It takes the cube of their number.
const SETTLED_ORDERS = `
  SELECT a.region AS region, sum(a.amount) AS revenue
  FROM orders a, orders b, orders c
  WHERE (a.amount + b.amount + c.amount) % 7 = 0
  GROUP BY a.region`;

class AnalyticalEngine {
  name = 'duckdb';
  #isOn;
  #database;
  #running = new Map();

  /** `isOn` is asked before every query: while it says no, nothing opens the database. */
  constructor(isOn) {
    this.#isOn = isOn;
  }

  revenueByRegion() {
    return this.#query(SETTLED_ORDERS);
  }

  async health() {
    await this.#query('SELECT 1');
    return { running: this.#running.size };
  }

  /** Cancels what runs, waits for its end, and closes the database. Gives how many queries were cancelled. */
  async close() {
    const cancelled = this.#running.size;
    for (const connection of this.#running.values()) connection.interrupt();
    await Promise.allSettled(this.#running.keys());
    const database = this.#database;
    this.#database = undefined;
    if (database) (await database).closeSync();
    return cancelled;
  }

  async #query(sql) {
    if (!this.#isOn()) throw new Error('the flag duckdb_analytics is off: no query goes to the database');
    this.#database ??= DuckDBInstance.create(DATABASE);
    let connection;
    try {
      connection = await (await this.#database).connect();
    } catch (error) {
      this.#database = undefined;
      throw error;
    }
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      connection.interrupt();
    }, QUERY_TIMEOUT_MS);
    const answer = connection.runAndReadAll(sql);
    this.#running.set(answer, connection);
    try {
      return (await answer).getRowObjectsJson();
    } catch (error) {
      throw isLate ? new Error(`query timed out after ${QUERY_TIMEOUT_MS / 1000} s`) : error;
    } finally {
      clearTimeout(timer);
      this.#running.delete(answer);
      connection.closeSync();
    }
  }
}

module.exports = { AnalyticalEngine };
