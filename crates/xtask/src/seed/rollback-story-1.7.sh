#!/bin/bash
# rollback-story-1.7.sh: the seed's script, word for word but for two broken characters in what it prints. Tests run it as
# the counter-example, where `npm`, `pm2` and `pkill` are programs that do nothing.

echo "Starting Story 1.7 Evidence.dev Rollback..."

# 1. Stop Evidence.dev builds
echo "Stopping Evidence builds..."
pkill -f "evidence build" || true
pm2 stop evidence-builder || true

# 2. Disable publication features
echo "Disabling publications..."
npm run feature:toggle evidence_publications off

# 3. Backup Evidence project
echo "Backing up Evidence project..."
mv evidence_project evidence_project.rollback.$(date +%Y%m%d_%H%M%S)

# 4. Remove publication engine
echo "Removing publication engine..."
mv tools/data-services/publication-engine.js tools/data-services/publication-engine.js.backup

# 5. Clear build artifacts
echo "Clearing build artifacts..."
rm -rf .evidence/build/*
rm -rf public/*

# 6. Install basic reporting
echo "Installing basic reporting..."
cp tools/data-services/stubs/basic-reporter.js tools/data-services/publication-engine.js

echo "Story 1.7 rollback completed"
