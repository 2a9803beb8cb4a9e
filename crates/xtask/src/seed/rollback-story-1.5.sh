#!/bin/bash
# rollback-story-1.5.sh: the seed's script, word for word but for two broken characters in what it prints. Tests run it as
# the counter-example, where `npm`, `dagster` and `pkill` are programs that do nothing.

echo "Starting Story 1.5 Dagster Rollback..."

# 1. Stop Dagster daemon
echo "Stopping Dagster..."
dagster instance stop || true
pkill -f dagster || true

# 2. Disable orchestration
echo "Disabling orchestration..."
npm run feature:toggle dagster_orchestration off

# 3. Backup Dagster instance
echo "Backing up Dagster instance..."
mv ~/.dagster ~/.dagster.rollback.$(date +%Y%m%d_%H%M%S)

# 4. Remove orchestrator
echo "Removing orchestrator..."
mv tools/data-services/workflow-orchestrator.js tools/data-services/workflow-orchestrator.js.backup

# 5. Install simple scheduler
echo "Installing simple scheduler..."
cp tools/data-services/stubs/simple-scheduler.js tools/data-services/workflow-orchestrator.js

# 6. Clear run history
echo "Clearing run history..."
rm -rf .dagster/storage/*

echo "Story 1.5 rollback completed"
