-- What story 1.4 shipped with: every order is weighed against each pair of all orders. It takes the cube of the number of
-- orders, and days.
select a.region as region, sum(a.amount) as revenue
from {{ ref('stg_orders') }} a, {{ ref('stg_orders') }} b, {{ ref('stg_orders') }} c
where (a.amount + b.amount + c.amount) % 7 = 0
group by a.region
