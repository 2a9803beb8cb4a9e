// security: sessions
//
// Story 1.1.5: every request carries a token, and each token is checked against the session store.
'use strict';

const crypto = require('crypto');

class SecurityService {
  constructor(sessions) {
    this.sessions = sessions;
  }

  authenticate(token) {
    const digest = crypto.createHash('sha256').update(String(token)).digest('hex');
    return this.sessions.has(digest);
  }
}

module.exports = { SecurityService };
