// The gateway: what `config/api-config.yaml` lists, behind `tools/data-services/security-service.js`. An endpoint is open
// only where the file says `requireAuth: false`; where nothing is said, authentication is required.
'use strict';

const fs = require('fs');
const yaml = require('yaml');
const path = require('path');
const { Refusal, flagIsOn, log, serve } = require('./lib/site.js');
const { SecurityService } = require('../tools/data-services/security-service.js');

const { api } = yaml.parse(fs.readFileSync('config/api-config.yaml', 'utf8'));
const security = new SecurityService();
/** Who came in and who did not: what the security service leaves for those who look into it later. */
const SECURITY_LOG = path.join('logs', 'security.log');

const routes = {
  'GET /health': async () => ({ security: security.name }),
  // What whoever watches the site asks: whether the gateway answers, how its keys are checked, how flags are read.
  'GET /api/status': async () => ({ security: security.name }),
  'GET /auth/validate': async ({ headers }) => ({ key: authenticate(headers['x-api-key']) }),
  'GET /flags': async () => ({ security_enforcement: flagIsOn('security_enforcement') }),
  'POST /tokens/revoke': async () => security.revoke(),
  'POST /tokens/readmit': async () => security.readmit(),
};

/** Endpoints may hold further ones; what an endpoint does not say holds as for the one above it. */
function publish(endpoints, outerRequires) {
  for (const [name, endpoint] of Object.entries(endpoints ?? {})) {
    const requiresAuth = (endpoint.requireAuth ?? outerRequires) !== false;
    routes[`GET ${endpoint.path}`] = async (request) => {
      if (requiresAuth) admit(request.headers);
      return { endpoint: name, open: !requiresAuth };
    };
    publish(endpoint.endpoints, requiresAuth);
  }
}

/** Whose key it is; each attempt is logged, and so is whether the security service could write down who it was. */
function authenticate(key) {
  let verdict;
  try {
    verdict = security.authenticate(key);
  } catch (error) {
    log('auth', `attempt: service failure: ${error.message}`);
    throw new Refusal(503, 'unavailable');
  }
  log('auth', `attempt ${verdict}`);
  try {
    fs.appendFileSync(SECURITY_LOG, `${new Date().toISOString()} ${verdict}\n`);
    log('services', 'security log: written');
  } catch (error) {
    log('services', `security log: write failed: ${error.message}`);
  }
  return verdict;
}

/** Where nobody can tell who asks, nobody comes in. */
function admit(headers) {
  const verdict = flagIsOn('security_enforcement') ? authenticate(headers['x-api-key']) : 'unavailable';
  if (verdict === 'unavailable') throw new Refusal(503, 'unavailable');
  if (verdict !== 'admitted') throw new Refusal(401, 'a key is needed');
}

publish(api.endpoints, api.requireAuth);
serve('api', routes, {
  answered: ({ method, url }, status) => log('api', `request ${method} ${new URL(url, 'http://site').pathname} status=${status}`),
});
