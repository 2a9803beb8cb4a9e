#!/bin/bash
# rollback-story-1.1.5.sh: the seed's script, word for word but for two broken characters in what it prints. Tests run it as
# the counter-example, where `npm`, `pm2` and `pkill` are programs that do nothing.

echo "Starting Story 1.1.5 Security Foundation Rollback..."

# 1. Disable security middleware
echo "Disabling security middleware..."
mv tools/data-services/security-service.js tools/data-services/security-service.js.backup
cp tools/data-services/security-service.stub.js tools/data-services/security-service.js

# 2. Revert feature flags to defaults
echo "Reverting feature flags..."
cp config/feature-flags.yaml.backup config/feature-flags.yaml

# 3. Remove API key requirements
echo "Removing API key enforcement..."
sed -i.backup 's/requireAuth: true/requireAuth: false/g' config/api-config.yaml

# 4. Restore previous configuration
echo "Restoring previous configuration..."
cp core-config.yaml.pre-1.1.5 core-config.yaml

# 5. Clear security caches
echo "Clearing security caches..."
rm -rf .cache/security/*

# 6. Restart services
echo "Restarting services..."
npm run restart:services

# 7. Verify rollback
echo "Verifying rollback..."
npm run test:rollback:security

echo "Story 1.1.5 rollback completed"
