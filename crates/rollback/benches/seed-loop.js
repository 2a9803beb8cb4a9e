// The rival in `triggers.rs`: conditions checked by a timer over what was kept, as the seed's rollback manager has it.
// node seed-loop.js FILE.om -> {"ingest_ms", "evaluate_ms", "samples", "breaching": [one number a condition]}
const fs = require('fs');

const conditions = [
  { metric: 'error_rate', duration: 5 * 60e3, test: (recent) => recent.length > 0 && recent.every((s) => s.value > 0.25) },
  { metric: 'error_rate', duration: 10 * 60e3, test: (recent) => recent.length > 0 && recent.reduce((sum, s) => sum + s.value, 0) / recent.length > 0.2 },
  { metric: 'crashes_total', duration: 10 * 60e3, test: (recent) => recent.length > 1 && recent[recent.length - 1].value - recent[0].value > 3 },
];
const checkInterval = 15e3;
const longest = Math.max(...conditions.map((c) => c.duration));

const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1e3; };
const begun = cpu();
const series = new Map();
let samples = 0;
for (const line of fs.readFileSync(process.argv[2], 'utf8').split('\n')) {
  const found = /^(\w+)(\{[^}]*\}) (\S+) (\S+)$/.exec(line);
  if (!found) continue;
  const key = found[1] + found[2];
  if (!series.has(key)) series.set(key, { metric: found[1], samples: [] });
  series.get(key).samples.push({ at: Number(found[4]) * 1e3, value: Number(found[3]) });
  samples++;
}
const ingested = cpu();

let [now, end] = [Infinity, -Infinity];
for (const one of series.values()) {
  now = Math.min(now, one.samples[0].at);
  end = Math.max(end, one.samples[one.samples.length - 1].at);
  one.next = 0;
  one.kept = [];
}
let breaching;
for (; now <= end; now += checkInterval) {
  breaching = conditions.map(() => 0);
  for (const one of series.values()) {
    while (one.next < one.samples.length && one.samples[one.next].at <= now) one.kept.push(one.samples[one.next++]);
    while (one.kept.length > 0 && one.kept[0].at <= now - longest) one.kept.shift();
    conditions.forEach((condition, n) => {
      if (condition.metric !== one.metric) return;
      const recent = one.kept.filter((s) => s.at > now - condition.duration);
      if (condition.test(recent)) breaching[n]++;
    });
  }
}
console.log(JSON.stringify({ ingest_ms: ingested - begun, evaluate_ms: cpu() - ingested, samples, breaching }));
