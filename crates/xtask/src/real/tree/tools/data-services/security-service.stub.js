// Takes over when story 1.1.5 is taken back: nobody can be told from anybody, so nobody gets in. It fails closed.
'use strict';

class SecurityService {
  name = 'closed';

  authenticate() {
    return 'unavailable';
  }

  revoke() {
    return { revoked: true };
  }

  readmit() {
    return { revoked: false };
  }
}

module.exports = { SecurityService };
