#!/bin/bash
# rollback-story-1.2.sh: the seed's script, word for word but for two broken characters in what it prints. Tests run it as
# the counter-example, where `npm`, `pm2` and `pkill` are programs that do nothing.

echo "Starting Story 1.2 PyAirbyte Rollback..."

# 1. Stop PyAirbyte processes
echo "Stopping PyAirbyte processes..."
pkill -f pyairbyte || true
pm2 stop data-ingestion-service || true

# 2. Disable ingestion endpoints
echo "Disabling ingestion endpoints..."
export FEATURE_FLAG_PYAIRBYTE=false
npm run feature:toggle pyairbyte_integration off

# 3. Remove PyAirbyte wrapper
echo "Removing PyAirbyte integration..."
mv tools/data-services/data-ingestion-service.js tools/data-services/data-ingestion-service.js.backup
mv tools/data-services/pyairbyte-wrapper.js tools/data-services/pyairbyte-wrapper.js.backup

# 4. Clean up cache
echo "Cleaning PyAirbyte cache..."
rm -rf .cache/pyairbyte/*

# 5. Restore stub services
echo "Restoring stub services..."
cp tools/data-services/stubs/ingestion-stub.js tools/data-services/data-ingestion-service.js

# 6. Deactivate Python environment
echo "Deactivating Python environment..."
deactivate 2>/dev/null || true

# 7. Restart core services
echo "Restarting core services..."
npm run restart:core

# 8. Run verification
echo "Verifying rollback..."
npm run test:rollback:ingestion

echo "Story 1.2 rollback completed"
