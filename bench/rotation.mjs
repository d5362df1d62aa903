// Measures how a flood of rotating keys affects a full store. The source of the table in docs/guide/memory-and-key-caps.md.
// Usage: npm run build && node bench/rotation.mjs
//
// A limit of 10 an hour and a cap of 10,000 keys. An attacker cycles through more keys than the cap within the hour; every
// hundredth call is the first of a new key. Prints the most calls that were admitted for one key in the hour (10 is exact), and
// the share of new keys that were admitted. Then a flood of a million new keys on 1,000 keys that are at their limit: prints how
// many of those were admitted again.
import { MemoryEfficientRateLimiter } from "sluicegate";

const MAX_CALLS = 10;
const MAX_KEYS = 10_000;

/** The usual cap: evicts the least recently used key, even if it is at its limit. */
function leastRecentlyUsed() {
  const counts = new Map();
  return (key) => {
    const calls = counts.get(key) ?? 0;
    counts.delete(key);
    if (counts.size === MAX_KEYS) counts.delete(counts.keys().next().value);
    counts.set(key, Math.min(MAX_CALLS, calls + 1));
    return calls < MAX_CALLS;
  };
}

function memoryEfficient(onFull) {
  const limiter = new MemoryEfficientRateLimiter({
    maxCalls: MAX_CALLS,
    period: "1h",
    maxKeys: MAX_KEYS,
    onFull,
    clock: { now: () => 0 },
    bypass: false,
  });
  return (key) => limiter.checkSync(key).allowed;
}

const stores = {
  'onFull: "evict"': () => memoryEfficient("evict"),
  'onFull: "deny"': () => memoryEfficient("deny"),
  "plain LRU": leastRecentlyUsed,
};

for (const [keys, rounds] of [
  [20_000, 50],
  [100_000, 15],
  [200_000, 15],
]) {
  for (const [name, make] of Object.entries(stores)) {
    const isAllowed = make();
    const admitted = new Uint16Array(keys);
    let [newKeys, admittedNew] = [0, 0];
    for (let call = 0; call < keys * rounds; call += 1) {
      const key = call % keys;
      if (isAllowed(`attacker ${key}`)) admitted[key] += 1;
      if (call % 100 !== 99) continue;
      newKeys += 1;
      if (isAllowed(`new ${newKeys}`)) admittedNew += 1;
    }
    const worst = admitted.reduce((most, calls) => Math.max(most, calls), 0);
    console.log(
      `${keys} keys, ${rounds} rounds, ${name}: at most ${worst} admitted of one key, ${((100 * admittedNew) / newKeys).toFixed(1)}% of new keys`,
    );
  }
}

for (const [name, make] of Object.entries(stores)) {
  const isAllowed = make();
  for (let call = 0; call < 1000 * MAX_CALLS; call += 1) isAllowed(`guarded ${call % 1000}`);
  for (let key = 0; key < 1_000_000; key += 1) isAllowed(`flood ${key}`);
  let freed = 0;
  for (let key = 0; key < 1000; key += 1) if (isAllowed(`guarded ${key}`)) freed += 1;
  console.log(`flood of a million keys, ${name}: ${freed} of 1000 keys at their limit admitted again`);
}
