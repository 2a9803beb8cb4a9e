select region, sum(amount) as revenue
from {{ ref('stg_orders') }}
group by region
