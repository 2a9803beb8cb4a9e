// Story 1.1.5: every request carries a key, and each key is checked against the sessions. A key that was good once is
// remembered, so that a session goes on whatever lies on the disk, until all are revoked.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');

/** SHA-256 of each key that may come in, in hexadecimal, a line each. */
const SESSIONS = path.join('.cache', 'security', '.sessions');

class SecurityService {
  name = 'sessions';
  #known = new Set();
  #isRevoked = false;

  /** `admitted`, `refused`, or `unavailable` when it cannot be said. */
  authenticate(key) {
    if (this.#isRevoked) return 'unavailable';
    if (typeof key !== 'string') return 'refused';
    const digest = crypto.createHash('sha256').update(key).digest('hex');
    if (!this.#known.has(digest)) {
      const sessions = fs.existsSync(SESSIONS) ? fs.readFileSync(SESSIONS, 'utf8').split('\n') : [];
      if (!sessions.includes(digest)) return 'refused';
      this.#known.add(digest);
    }
    return 'admitted';
  }

  /** Nobody comes in any more, whatever key was good. */
  revoke() {
    this.#known.clear();
    this.#isRevoked = true;
    return { revoked: true };
  }

  /** Sessions are asked for again. */
  readmit() {
    this.#isRevoked = false;
    return { revoked: false };
  }
}

module.exports = { SecurityService };
