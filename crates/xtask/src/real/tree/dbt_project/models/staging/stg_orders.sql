select id, region, day, amount
from read_csv('data/orders.csv')
