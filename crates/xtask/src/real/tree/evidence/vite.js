#!/usr/bin/env node
// A stand-in for Vite at a build that came with story 1.7: it never ends.
'use strict';

setInterval(() => {}, 60_000);
