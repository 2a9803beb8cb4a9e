// The gateway: what `config/api-config.yaml` lists, behind `tools/data-services/security-service.js`. An endpoint is open
// only where the file says `requireAuth: false`; where nothing is said, authentication is required.
'use strict';

const fs = require('fs');
const yaml = require('yaml');
const { Refusal, serve } = require('./lib/site.js');
const { SecurityService } = require('../tools/data-services/security-service.js');

const { api } = yaml.parse(fs.readFileSync('config/api-config.yaml', 'utf8'));
const security = new SecurityService();
const routes = { 'GET /health': async () => ({ security: security.name }) };

/** Endpoints may hold further ones; what an endpoint does not say holds as for the one above it. */
function publish(endpoints, outerRequires) {
  for (const [name, endpoint] of Object.entries(endpoints ?? {})) {
    const requiresAuth = (endpoint.requireAuth ?? outerRequires) !== false;
    routes[`GET ${endpoint.path}`] = async (request) => {
      if (requiresAuth) await admit(request.headers);
      return { endpoint: name, open: !requiresAuth };
    };
    publish(endpoint.endpoints, requiresAuth);
  }
}

async function admit(headers) {
  const verdict = security.authenticate(headers['x-api-key']);
  if (verdict === 'unavailable') throw new Refusal(503, 'unavailable');
  if (verdict !== 'admitted') throw new Refusal(401, 'a key is needed');
}

publish(api.endpoints, api.requireAuth);
serve('api', routes);
