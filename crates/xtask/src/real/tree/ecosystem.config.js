// The site's services, for pm2.
'use strict';

const service = (name, script) => ({
  name,
  script,
  cwd: __dirname,
  // Neither git nor metrics are pm2's business here.
  vizion: false,
  pmx: false,
  // What a service started has a life of its own.
  treekill: false,
  kill_timeout: 5000,
  restart_delay: 200,
});

module.exports = {
  apps: [
    service('core', 'services/core.js'),
    service('analytics', 'services/analytics.js'),
    service('data-ingestion-service', 'services/ingestion.js'),
    service('api', 'services/api.js'),
    service('analysis-service', 'services/analysis-service.js'),
    service('evidence-builder', 'services/evidence-builder.js'),
  ],
};
