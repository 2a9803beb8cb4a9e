// Story 1.1.5: every request carries a key, and each key is checked against those that were issued and the cached sessions.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const path = require('path');

const KEYS = path.join('config', 'api-keys.json');
const SESSIONS = path.join('.cache', 'security', 'sessions.json');

class SecurityService {
  name = 'keys';

  /** `admitted`, `refused`, or `unavailable` when it cannot be said. */
  authenticate(key) {
    if (typeof key !== 'string') return 'refused';
    const digest = crypto.createHash('sha256').update(key).digest('hex');
    try {
      const known = [...this.#digests(KEYS), ...this.#digests(SESSIONS)];
      return known.includes(digest) ? 'admitted' : 'refused';
    } catch {
      return 'unavailable';
    }
  }

  #digests(file) {
    if (!fs.existsSync(file)) return [];
    return Object.values(JSON.parse(fs.readFileSync(file, 'utf8')));
  }
}

module.exports = { SecurityService };
