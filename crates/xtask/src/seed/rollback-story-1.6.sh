#!/bin/bash
# rollback-story-1.6.sh: the seed's script, word for word but for two broken characters in what it prints. Tests run it as
# the counter-example, where `npm`, `pm2` and `pip` are programs that do nothing.

echo "Starting Story 1.6 EDA Rollback..."

# 1. Disable EDA features
echo "Disabling EDA features..."
npm run feature:toggle automated_eda off
npm run feature:toggle hypothesis_generation off

# 2. Stop analysis processes
echo "Stopping analysis processes..."
pm2 stop analysis-service || true

# 3. Remove EDA tools
echo "Removing EDA tools..."
pip uninstall -y pandas-profiling sweetviz autoviz

# 4. Clear analysis cache
echo "Clearing analysis cache..."
rm -rf .cache/analysis/*
rm -rf .cache/hypotheses/*

# 5. Restore basic analysis
echo "Restoring basic analysis..."
cp tools/data-services/stubs/basic-analysis.js tools/data-services/eda-engine.js

echo "Story 1.6 rollback completed"
