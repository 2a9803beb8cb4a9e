-- Revenue of all regions, from the nightly summary.
SELECT sum(revenue) AS revenue FROM read_csv('summaries/revenue-by-region.csv')
