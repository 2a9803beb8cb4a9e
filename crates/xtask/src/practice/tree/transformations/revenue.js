// Story 1.4: the model `revenue_by_region` of dbt does it.
'use strict';

module.exports = { model: 'revenue_by_region' };
