// What 1,000 processes send to one primary, and what they admit too much in a failover: a simulation on a virtual clock, the same on
// every machine. `npm run bench:fleet`. Exits 1 if a key exceeds the bound of docs/guarantees.md, or the attack its rate.
import { attackRateBound, boundOf, simulateFleet } from "./dist/fleet-simulation.js";

const FLEET = {
  seed: 1,
  processes: 1000,
  keys: 1_000_000,
  checksPerSecond: 50_000,
  seconds: 15,
  attackerShare: 0.9,
  attackFromMs: 0,
  maxCalls: 100,
  periodMs: 10_000,
  denyCacheMs: 1000,
  turnMs: 0,
  latencyMs: [0.15, 0.1],
  timeoutMs: 100,
  whenDown: "local",
};
/** Right after the second burst of admissions, all of which it loses. */
const FAILOVER = { failover: { atMs: 10_050, downMs: 2000, lagMs: 100 } };
/** A fifth of a second at 1,000,000 checks a second, without attacker and deny cache. */
const BUSY = { checksPerSecond: 1e6, seconds: 0.2, attackerShare: 0, denyCacheMs: 0, turnMs: 1 };

const FLEETS = {
  attack: {},
  "attack, spread evenly before": { attackFromMs: 10_000 },
  "attack, no deny cache": { denyCacheMs: 0 },
  'failover, whenDown: "local"': FAILOVER,
  'failover, whenDown: "deny"': { ...FAILOVER, whenDown: "deny" },
  'failover, whenDown: "allow"': { ...FAILOVER, whenDown: "allow" },
  "the same, no deny cache": { ...FAILOVER, whenDown: "deny", denyCacheMs: 0 },
  "batches, 1,000 processes": BUSY,
  "batches, 100 processes": { ...BUSY, processes: 100 },
  "batches, 20 processes": { ...BUSY, processes: 20 },
};

const HEADING = ["sent/s", "checks/run", "of the key under attack/s (bound)", "most admitted (bound)"];
const WIDTHS = [10, 12, 35, 24];
const line = (name, cells) => name.padEnd(30) + cells.map((cell, at) => String(cell).padStart(WIDTHS[at])).join("");

console.log(line("", HEADING));
for (const [name, own] of Object.entries(FLEETS)) {
  const fleet = { ...FLEET, ...own };
  const report = simulateFleet(fleet);
  const attackRate = report.sentOfAttacker / (fleet.seconds - fleet.attackFromMs / 1000);
  const isUnbounded = fleet.failover !== undefined && fleet.whenDown === "allow";
  const bound = boundOf(fleet, report.mostLost, fleet.failover === undefined ? 0 : Infinity);
  // Arrivals are random, so those of one run may exceed their mean by a little.
  const isExceeded = attackRate > 1.01 * attackRateBound(fleet);
  const cells = [
    (report.sent / fleet.seconds).toFixed(0),
    (report.sent / report.runs).toFixed(2),
    fleet.attackerShare === 0 ? "" : `${attackRate.toFixed(0)} (${attackRateBound(fleet).toFixed(0)})`,
    fleet.attackerShare === 0 ? "" : `${report.mostAdmitted} (${isUnbounded ? "none" : bound})`,
  ];
  console.log(line(name, cells));
  for (const violation of report.violations) console.log(`WRONG  ${violation}`);
  if (isExceeded) console.log("WRONG  more checks of the key under attack than the bound");
  if (isExceeded || report.violations.length > 0) process.exitCode = 1;
}
