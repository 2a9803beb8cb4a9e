"""Orders that will not be corrected any more."""

import time


def model(dbt, session):
    dbt.config(materialized="table")
    orders = dbt.ref("stg_orders")
    # What story 1.4 shipped with: it waits for the last correction of the day, and there is none.
    while session.sql("select count(*) from read_csv('data/corrections.csv')").fetchone() == (0,):
        time.sleep(1)
    return orders
