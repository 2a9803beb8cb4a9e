#!/bin/bash
# rollback-story-1.4.sh: the seed's script, word for word but for two broken characters in what it prints. Tests run it as
# the counter-example, where `npm`, `pm2` and `pkill` are programs that do nothing.

echo "Starting Story 1.4 dbt-core Rollback..."

# 1. Stop dbt runs
echo "Stopping dbt processes..."
pkill -f "dbt run" || true
pkill -f "dbt test" || true

# 2. Disable transformation features
echo "Disabling transformations..."
npm run feature:toggle dbt_transformations off

# 3. Backup dbt project
echo "Backing up dbt project..."
mv dbt_project dbt_project.rollback.$(date +%Y%m%d_%H%M%S)

# 4. Remove transformation engine
echo "Removing transformation engine..."
mv tools/data-services/transformation-engine.js tools/data-services/transformation-engine.js.backup

# 5. Clear compiled models
echo "Clearing compiled models..."
rm -rf target/*
rm -rf logs/dbt/*

# 6. Restore simple transformations
echo "Restoring simple transformations..."
cp -r transformations/simple/* transformations/

echo "Story 1.4 rollback completed"
