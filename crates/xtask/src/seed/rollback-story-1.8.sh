#!/bin/bash
# rollback-story-1.8.sh: the seed's script, word for word but for two broken characters in what it prints. Tests run it as
# the counter-example, where `npm`, `pm2` and `pkill` are programs that do nothing.

echo "Starting Story 1.8 QA Rollback..."

# This is primarily documentation and testing
# Rollback involves reverting to previous test suites

# 1. Restore previous test suite
echo "Restoring previous tests..."
git checkout HEAD~1 -- tests/

# 2. Restore previous documentation
echo "Restoring documentation..."
git checkout HEAD~1 -- docs/

echo "Story 1.8 rollback completed"
