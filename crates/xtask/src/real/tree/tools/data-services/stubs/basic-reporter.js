// Takes over when story 1.7 is taken back: a plain page with the figures of the nightly summaries. It builds nothing.
'use strict';

const fs = require('fs');
const path = require('path');

const SUMMARY = path.join('summaries', 'revenue-by-region.csv');

class PublicationEngine {
  name = 'basic';

  async page() {
    const [, ...lines] = fs.readFileSync(SUMMARY, 'utf8').trim().split('\n');
    const items = lines.map((line) => `<li>${line.replace(',', ': ')}</li>`);
    return `<!doctype html><title>Figures</title><ul>${items.join('')}</ul>\n`;
  }
}

module.exports = { PublicationEngine };
