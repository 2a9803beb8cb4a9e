-- Revenue by region, from the nightly summary.
SELECT region, revenue FROM read_csv('summaries/revenue-by-region.csv') ORDER BY region
