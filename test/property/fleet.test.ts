import { describe, expect, it } from "vitest";
import { attackRateBound, type FleetOptions, simulateFleet } from "../support/fleet-simulation.js";

/** An attack on one key from the start, and a failover right after the second burst of admissions, which it loses. */
const FLEET: FleetOptions = {
  seed: 19,
  processes: 50,
  keys: 1000,
  checksPerSecond: 5000,
  seconds: 18,
  attackerShare: 0.9,
  attackFromMs: 0,
  maxCalls: 20,
  periodMs: 4000,
  denyCacheMs: 1000,
  turnMs: 0,
  latencyMs: [0.2, 0.1],
  timeoutMs: 100,
  whenDown: "local",
};
const FAILOVER = { atMs: 8050, downMs: 1500, lagMs: 100 };
const WITH_BATCHES = { processes: 4, turnMs: 1 };
/** The attack begins after the admitted calls of its key have spread over a period. */
const EVEN = { attackFromMs: 4000 };

const WAYS = [
  ["with the deny cache", {}],
  ["without the deny cache", { denyCacheMs: 0 }],
  ["with the deny cache and batches", WITH_BATCHES],
  ["without the deny cache, with batches", { denyCacheMs: 0, ...WITH_BATCHES }],
] as const;

describe.each(WAYS)("a fleet under attack, %s", (_name, way) => {
  const fleet: FleetOptions = { ...FLEET, ...way };

  it("admits no key more than its limit in any window while the primary is up", () => {
    const report = simulateFleet(fleet);
    expect(report.violations).toEqual([]);
    expect(report.mostAdmitted).toBe(fleet.maxCalls);
    expect([report.refusedWrongly, report.decidedWhileDown]).toEqual([0, 0]);
  });

  it.each(["local", "deny", "allow"] as const)(
    "exceeds the limit because of a failover by no more than the documented bound, with whenDown: %j",
    (whenDown) => {
      const options = { ...fleet, whenDown, failover: FAILOVER };
      const { maxCalls, processes } = fleet;
      const report = simulateFleet(options);
      expect(report.violations).toEqual([]);
      expect(report.mostAdmittedOutside).toBe(maxCalls);
      // The worst instant: a full log is lost.
      expect(report.mostLost).toBe(maxCalls);
      const byProcesses = processes * Math.ceil(maxCalls / processes);
      expect(byProcesses).toBeLessThan(maxCalls + processes);
      // The attacker gets all that the bound allows, so a lower bound would be wrong.
      if (whenDown === "local") expect(report.mostAdmitted).toBe(2 * maxCalls + byProcesses);
      if (whenDown === "deny") expect(report.mostAdmitted).toBe(2 * maxCalls);
      if (whenDown === "allow") expect(report.mostAdmitted).toBeGreaterThan(10 * (2 * maxCalls + byProcesses));
    },
  );

  it("uses the new primary within a second and a timeout, and refuses by lost calls for maxAge more", () => {
    const report = simulateFleet({ ...fleet, failover: FAILOVER });
    const usedAgainMs = FAILOVER.atMs + FAILOVER.downMs + 1000 + fleet.timeoutMs;
    expect(report.lastDecidedWhileDownMs).toBeLessThanOrEqual(usedAgainMs);
    expect(report.lastRefusedWronglyMs).toBeLessThanOrEqual(usedAgainMs + fleet.denyCacheMs);
    expect(report.refusedWrongly > 0).toBe(fleet.denyCacheMs > 0);
  });
});

describe("the rate of checks that a fleet sends", () => {
  const attackRate = (fleet: FleetOptions): number =>
    simulateFleet(fleet).sentOfAttacker / (fleet.seconds - fleet.attackFromMs / 1000);

  it.each([
    ["a burst", {}],
    ["an even attack", EVEN],
    ["an even attack on processes with batches", { ...EVEN, ...WITH_BATCHES }],
  ])("is bounded by the deny cache in %s", (_name, way) => {
    const fleet: FleetOptions = { ...FLEET, ...way };
    expect(attackRate(fleet)).toBeLessThan(attackRateBound(fleet));
  });

  it("comes close to the bound in an even attack", () => {
    const fleet: FleetOptions = { ...FLEET, ...EVEN };
    expect(attackRate(fleet)).toBeGreaterThan(0.8 * attackRateBound(fleet));
  });

  it("is that of all checks without the deny cache", () => {
    const { checks, sent } = simulateFleet({ ...FLEET, denyCacheMs: 0 });
    expect(sent).toBe(checks);
  });

  it("takes fewer runs with batches", () => {
    const fleet = { ...FLEET, denyCacheMs: 0, processes: 4 };
    const [alone, together] = [simulateFleet(fleet), simulateFleet({ ...fleet, turnMs: 1 })];
    expect(alone.runs).toBe(alone.sent);
    expect(together.runs).toBeLessThan(0.85 * together.sent);
  });
});

it("a fleet is simulated twice alike, and differently with another seed", () => {
  const options = { ...FLEET, seconds: 2 };
  expect(simulateFleet(options)).toEqual(simulateFleet(options));
  expect(simulateFleet(options)).not.toEqual(simulateFleet({ ...options, seed: 20 }));
});
