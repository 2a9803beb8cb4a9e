-- What story 1.4 computes in the warehouse instead of row by row.
select region, sum(amount) as revenue
from {{ source('practice', 'orders') }}
group by region
