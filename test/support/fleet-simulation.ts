/**
 * A fleet of processes that share one primary, on a virtual clock: the deny cache, the circuit breaker and the stores in memory
 * are those of `src`, the primary is the brute-force model. The callers, the network and the batches are simulated. A test
 * runs a small fleet; `npm run bench:fleet` runs a large one.
 */
import { CircuitBreaker } from "../../src/store/remote/circuit-breaker.js";
import { DenyCache, type RequestStamp } from "../../src/store/remote/deny-cache.js";
import { MemoryStore } from "../../src/store/memory/memory-store.js";
import type { SyncNamespace } from "../../src/store/store.js";
import { Model } from "./model.js";

export interface FleetOptions {
  readonly seed: number;
  readonly processes: number;
  /** The keys of ordinary callers, called by Zipf's law: the n-th key gets 1 / n of the calls of the first one. */
  readonly keys: number;
  /** Of the whole fleet. A balancer gives each check to a random process. */
  readonly checksPerSecond: number;
  readonly seconds: number;
  /** The share of all checks that are of one key, from 0 to 1. */
  readonly attackerShare: number;
  /**
   * When the attack begins. Before, its key is called evenly, as often as its limit admits: then its calls expire one by one,
   * which costs the primary the most. From 0 on, the attack is a burst, whose calls expire together.
   */
  readonly attackFromMs: number;
  readonly maxCalls: number;
  readonly periodMs: number;
  /** The `maxAge` of the deny cache; 0 for none. */
  readonly denyCacheMs: number;
  /** While a run is under way, checks of one process gather for so long and are sent as one run; 0 for no batches. */
  readonly turnMs: number;
  /** Half of a round trip: the least, and the mean of what is added to it, which is distributed exponentially. */
  readonly latencyMs: readonly [least: number, added: number];
  readonly timeoutMs: number;
  readonly whenDown: "local" | "deny" | "allow";
  /** The primary is lost at `atMs`, with the writes of the last `lagMs`. A replica takes over after `downMs`. */
  readonly failover?: { readonly atMs: number; readonly downMs: number; readonly lagMs: number } | undefined;
}

export interface FleetReport {
  readonly checks: number;
  /** Checks that were sent to the primary, those of the attacker, and the runs of the script that they were sent in. */
  readonly sent: number;
  readonly sentOfAttacker: number;
  readonly runs: number;
  readonly refusedByDenyCache: number;
  /** Refusals by the deny cache of calls that the primary would have admitted, and the last instant of one; 0 if there is none. */
  readonly refusedWrongly: number;
  readonly lastRefusedWronglyMs: number;
  /** Checks that `whenDown` decided, and when the last one was. */
  readonly decidedWhileDown: number;
  readonly lastDecidedWhileDownMs: number;
  /** The most calls of a key that were admitted in any window of one period, and of the windows without an instant of the outage. */
  readonly mostAdmitted: number;
  readonly mostAdmittedOutside: number;
  /** The most admissions of a key that the failover lost. */
  readonly mostLost: number;
  /** One line for each key with more admissions in a window than the bound. */
  readonly violations: readonly string[];
}

export const ATTACKER = "attacker";

/** The most checks in one run of the script. */
const MOST_IN_RUN = 48;

/**
 * The bound of `docs/guarantees.md`: the most admissions of a key in any window.
 *
 * @param lost - the admissions of the key that the failover lost.
 * @param decidedWhileDown - the calls of the key that `whenDown` decided.
 */
export function boundOf(options: FleetOptions, lost: number, decidedWhileDown: number): number {
  const { maxCalls, processes, whenDown } = options;
  const byFallback = { local: maxCalls + processes - 1, deny: 0, allow: decidedWhileDown }[whenDown];
  return maxCalls + lost + Math.min(byFallback, decidedWhileDown);
}

/**
 * The most checks of a key under attack that are sent in a second, on average.
 *
 * Each process sends one check for each instant at which a call of the key expires, at most `maxCalls` a period, and one for each
 * `maxAge`; and those that arrive before the reply.
 */
export function attackRateBound(options: FleetOptions): number {
  const { processes, maxCalls, periodMs, denyCacheMs, latencyMs, turnMs } = options;
  const attackRate = options.checksPerSecond * options.attackerShare;
  if (denyCacheMs === 0) return attackRate;
  const roundTripMs = 2 * (latencyMs[0] + latencyMs[1]) + turnMs;
  const untilReply = 1 + (attackRate / processes) * (roundTripMs / 1000);
  return Math.min(attackRate, processes * (maxCalls / periodMs + 1 / denyCacheMs) * 1000 * untilReply);
}

/** One check that the deny cache does not decide. */
interface Call {
  readonly key: string;
  readonly stamp: RequestStamp;
}

interface Process {
  readonly denyCache: DenyCache;
  readonly circuit: CircuitBreaker;
  /** Opened at the first failure. */
  fallback: SyncNamespace | undefined;
  runsUnderWay: number;
  gathered: Call[];
  /** A connection keeps the order of what is sent. */
  lastArrival: number;
  lastReply: number;
}

/** Runs the fleet. The same options give the same report. */
export function simulateFleet(options: FleetOptions): FleetReport {
  const { processes, periodMs, maxCalls, failover, denyCacheMs, turnMs, whenDown } = options;
  const random = randomFrom(options.seed);
  const exponential = (mean: number): number => -mean * Math.log(1 - random());
  const latency = (): number => options.latencyMs[0] + exponential(options.latencyMs[1]);
  const events = new EventQueue();
  let now = 0;
  const clock = { now: (): number => now };

  const limits = [{ maxCalls, periodMs }];
  const shares = [{ maxCalls: Math.ceil(maxCalls / processes), periodMs }];
  const primary = new Primary(maxCalls, periodMs);
  const fleet = Array.from({ length: processes }, (): Process => {
    return {
      denyCache: new DenyCache(denyCacheMs, clock),
      circuit: new CircuitBreaker(clock),
      fallback: undefined,
      runsUnderWay: 0,
      gathered: [],
      lastArrival: 0,
      lastReply: 0,
    };
  });

  const admissions = new Map<string, number[]>();
  const whileDown = new Map<string, number>();
  const counts = { checks: 0, sent: 0, sentOfAttacker: 0, runs: 0, refusedByDenyCache: 0, refusedWrongly: 0 };
  let [lastRefusedWronglyMs, lastDecidedWhileDownMs] = [0, 0];

  const admitted = (key: string, at: number): void => {
    const times = admissions.get(key);
    if (times === undefined) admissions.set(key, [at]);
    else times.push(at);
  };
  const decideWhileDown = (process: Process, key: string): void => {
    whileDown.set(key, (whileDown.get(key) ?? 0) + 1);
    lastDecidedWhileDownMs = now;
    if (whenDown === "deny") return;
    if (whenDown === "local") {
      process.fallback ??= new MemoryStore({ clock }).open("fleet", [periodMs]);
      if (!process.fallback.admit(key, shares, 1)) return;
    }
    admitted(key, now);
  };

  const check = (process: Process, key: string): void => {
    counts.checks += 1;
    if (process.denyCache.refuses(key, limits, 1)) {
      counts.refusedByDenyCache += 1;
      if (primary.wouldRefuse(key, now)) return;
      counts.refusedWrongly += 1;
      lastRefusedWronglyMs = now;
      return;
    }
    const call: Call = { key, stamp: process.denyCache.stamp(key, 1) };
    if (turnMs === 0) return send(process, [call]);
    process.gathered.push(call);
    if (process.gathered.length > 1) return;
    if (process.runsUnderWay === 0) flush(process);
    else events.add(now + turnMs, () => flush(process));
  };

  const flush = (process: Process): void => {
    const calls = process.gathered;
    process.gathered = [];
    for (let at = 0; at < calls.length; at += MOST_IN_RUN) send(process, calls.slice(at, at + MOST_IN_RUN));
  };

  const send = (process: Process, calls: readonly Call[]): void => {
    const pass = process.circuit.admit();
    if (pass === undefined) {
      for (const { key } of calls) decideWhileDown(process, key);
      return;
    }
    process.runsUnderWay += 1;
    let isOver = false;
    events.add(now + options.timeoutMs, () => {
      if (isOver) return;
      isOver = true;
      process.runsUnderWay -= 1;
      process.circuit.failed(pass, undefined, calls.length);
      for (const { key } of calls) decideWhileDown(process, key);
    });
    counts.runs += 1;
    counts.sent += calls.length;
    counts.sentOfAttacker += calls.filter(({ key }) => key === ATTACKER).length;
    process.lastArrival = Math.max(process.lastArrival, now + latency());
    events.add(process.lastArrival, () => {
      if (failover !== undefined && now >= failover.atMs && now < failover.atMs + failover.downMs) return;
      const decidedAt = now;
      const waits = calls.map(({ key }) => primary.admit(key, now));
      process.lastReply = Math.max(process.lastReply, now + latency());
      events.add(process.lastReply, () => {
        if (isOver) return;
        isOver = true;
        process.runsUnderWay -= 1;
        process.circuit.succeeded(pass);
        for (const [at, call] of calls.entries()) receive(process, call, waits[at] as number, decidedAt);
      });
    });
  };

  const receive = ({ denyCache }: Process, { key, stamp }: Call, retryAfterMs: number, decidedAt: number): void => {
    if (retryAfterMs > 0) return denyCache.store(key, limits, 1, { retryAfterMs }, undefined, stamp);
    denyCache.admitted(key, 1);
    admitted(key, decidedAt);
  };

  const anyProcess = (): Process => fleet[Math.floor(random() * processes)] as Process;
  const anyKey = zipf(options.keys, random);
  const nextCheck = (): void => {
    if (random() >= options.attackerShare) check(anyProcess(), `user:${String(anyKey())}`);
    else if (now >= options.attackFromMs) check(anyProcess(), ATTACKER);
    const at = now + exponential(1000 / options.checksPerSecond);
    if (at < options.seconds * 1000) events.add(at, nextCheck);
  };
  events.add(0, nextCheck);
  for (let at = 0; at < options.attackFromMs; at += periodMs / maxCalls) {
    events.add(at, () => check(anyProcess(), ATTACKER));
  }
  let lost: ReadonlyMap<string, number> = new Map();
  if (failover !== undefined) {
    events.add(failover.atMs, () => {
      lost = primary.forgetSince(failover.atMs - failover.lagMs);
    });
  }
  for (let event = events.next(); event !== undefined; event = events.next()) {
    now = event.at;
    event.run();
  }

  let [mostAdmitted, mostAdmittedOutside] = [0, 0];
  const violations: string[] = [];
  const outage = failover === undefined ? [Infinity, -Infinity] : [failover.atMs, lastDecidedWhileDownMs];
  const [from, to] = outage as [number, number];
  for (const [key, times] of admissions) {
    const bound = boundOf(options, lost.get(key) ?? 0, whileDown.get(key) ?? 0);
    const windows = windowsOf(times, periodMs);
    const most = Math.max(...windows.map(({ count }) => count));
    const outside = windows.filter(({ start }) => start > to || start + periodMs <= from).map(({ count }) => count);
    const mostOutside = Math.max(0, ...outside);
    if (most > bound) violations.push(`${key}: ${String(most)} admitted in a window, more than ${String(bound)}`);
    if (mostOutside > maxCalls)
      violations.push(`${key}: ${String(mostOutside)} admitted in a window without an outage`);
    mostAdmitted = Math.max(mostAdmitted, most);
    mostAdmittedOutside = Math.max(mostAdmittedOutside, mostOutside);
  }
  return {
    ...counts,
    lastRefusedWronglyMs,
    decidedWhileDown: [...whileDown.values()].reduce((sum, calls) => sum + calls, 0),
    lastDecidedWhileDownMs,
    mostAdmitted,
    mostAdmittedOutside,
    mostLost: Math.max(0, ...lost.values()),
    violations,
  };
}

/** Decides in whole milliseconds, as the script does: reads the time rounded down, and records it rounded up. */
class Primary {
  readonly #limits: readonly [{ readonly maxCalls: number; readonly periodMs: number }];
  readonly #logs = new Map<string, { readonly model: Model; freeAt: number }>();

  constructor(maxCalls: number, periodMs: number) {
    this.#limits = [{ maxCalls, periodMs }];
  }

  /** Milliseconds until the call would pass; 0 if it is admitted. */
  admit(key: string, time: number): number {
    const log = this.#logs.get(key) ?? { model: new Model(), freeAt: -Infinity };
    const now = Math.floor(time);
    // Refusals do not change the log, so the model need not repeat them.
    if (now < log.freeAt) return log.freeAt - now;
    this.#logs.set(key, log);
    const [{ maxCalls, periodMs }] = this.#limits;
    const { model } = log;
    if (model.admissions.length > 2 * maxCalls) {
      model.admissions = model.admissions.filter(({ timestamp }) => timestamp > now - periodMs);
    }
    const { allowed, retryAfterMs } = model.check(key, this.#limits, 1, now, Math.ceil(time));
    if (!allowed) log.freeAt = now + retryAfterMs;
    return retryAfterMs;
  }

  wouldRefuse(key: string, time: number): boolean {
    const [{ maxCalls, periodMs }] = this.#limits;
    const log = this.#logs.get(key);
    const now = Math.floor(time);
    return log !== undefined && (now < log.freeAt || log.model.used(key, periodMs, now) >= maxCalls);
  }

  /** Forgets what was recorded after an instant; returns the number of admissions of each key. */
  forgetSince(time: number): ReadonlyMap<string, number> {
    const lost = new Map<string, number>();
    for (const [key, log] of this.#logs) {
      const { admissions } = log.model;
      log.model.admissions = admissions.filter(({ timestamp }) => timestamp <= time);
      log.freeAt = -Infinity;
      if (log.model.admissions.length < admissions.length) {
        lost.set(key, admissions.length - log.model.admissions.length);
      }
    }
    return lost;
  }
}

/** The number of instants in the window that begins at each of them. */
function windowsOf(times: readonly number[], periodMs: number): { readonly start: number; readonly count: number }[] {
  const sorted = [...times].sort((one, other) => one - other);
  let end = 0;
  return sorted.map((start, at) => {
    while (end < sorted.length && (sorted[end] as number) < start + periodMs) end += 1;
    return { start, count: end - at };
  });
}

/** Numbers from 0 to 1, without 1: the generator mulberry32. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Ranks from 0, by Zipf's law. */
function zipf(ranks: number, random: () => number): () => number {
  const cumulative = new Float64Array(ranks);
  let sum = 0;
  for (let rank = 0; rank < ranks; rank += 1) cumulative[rank] = sum += 1 / (rank + 1);
  return () => {
    const target = random() * sum;
    let [low, high] = [0, ranks - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((cumulative[middle] as number) < target) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

interface Event {
  readonly at: number;
  /** Events of one instant run in the order in which they were added. */
  readonly order: number;
  readonly run: () => void;
}

/** A binary heap. */
class EventQueue {
  readonly #heap: Event[] = [];
  #added = 0;

  add(at: number, run: () => void): void {
    const heap = this.#heap;
    const event = { at, order: (this.#added += 1), run };
    let place = heap.length;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[place] = heap[parent] as Event;
      place = parent;
    }
    heap[place] = event;
  }

  next(): Event | undefined {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return last;
    let place = 0;
    for (let child = 1; child < heap.length; child = 2 * place + 1) {
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[place] = heap[child] as Event;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
