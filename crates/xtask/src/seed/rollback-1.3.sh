#!/bin/bash
# The seed's script of story 1.3, step for step, with its commands mapped to what the practice site has instead of Node,
# and at the end a flush of what it changed, since the other side flushes too. Its defects are its own and stay:
# it checks nothing, stops at no error, leaves no engine file between steps 4 and 5, and leaves hidden files in the cache.

echo "Starting Story 1.3 DuckDB Rollback..."

# 1. Stop analytical queries (node scripts/stop-analytics.js)
echo "Stopping analytical queries..."
bin/practice-analytics stop-queries

# 2. Disable DuckDB integration (npm run feature:toggle duckdb_analytics off)
echo "Disabling DuckDB..."
export FEATURE_FLAG_DUCKDB=false
sed -i '/^  duckdb_analytics:/,/enabled:/s/enabled: true/enabled: false/' config/feature-flags.yaml

# 3. Backup DuckDB data
echo "Backing up DuckDB data..."
mv .duckdb .duckdb.rollback.$(date +%Y%m%d_%H%M%S)

# 4. Remove analytical engine
echo "Removing analytical engine..."
mv tools/data-services/analytical-engine.js tools/data-services/analytical-engine.js.backup

# 5. Install fallback query engine
echo "Installing fallback query engine..."
cp tools/data-services/stubs/simple-query-engine.js tools/data-services/analytical-engine.js

# 6. Clear query cache
echo "Clearing query cache..."
rm -rf .cache/queries/*

# 7. Restart services (npm run restart:analytics)
echo "Restarting services..."
pid=$(cat run/analytics.pid)
kill "$pid"
while [ -e "/proc/$pid/exe" ]; do sleep 0.005; done
bin/practice-analytics start

# What it changed, by name; `sync` alone would wait for everybody's data.
sync config/feature-flags.yaml config tools/data-services/analytical-engine.js tools/data-services .cache/queries .

echo "Story 1.3 rollback completed"
