// All measured limiters with one interface: `check(key)` is what users await, `admits` reads its result (a rejection is a
// refusal), `checkSync` exists if the limiter has a synchronous method, and `close(keys)` if it has timers.
import localStore from "@fastify/rate-limit/store/LocalStore.js";
import { MemoryStore as ExpressStore } from "express-rate-limit";
import { MemoryStore as HonoStore } from "hono-rate-limiter";
import { RateLimiter } from "limiter";
import pThrottle from "p-throttle";
import flexible from "rate-limiter-flexible";
import { AsyncRateLimiter, LayeredRateLimiter, MemoryStore } from "sluicegate";
import { OriginRateLimiter } from "./origin.mjs";

const isTrue = (allowed) => allowed;

/** Several limits of a peer that supports one: one limiter for each, called one after another, as its users do. */
function inTurn(open) {
  return ({ limits, ...rest }) => {
    const each = limits.map(({ maxCalls, periodMs }) => open({ maxCalls, periodMs, ...rest }));
    if (each.length === 1) return each[0];
    const check = async (key) => {
      for (const one of each) if (!one.admits(await one.check(key))) return false;
      return true;
    };
    return { check, admits: isTrue, close: (keys) => each.forEach((one) => one.close?.(keys)) };
  };
}

/** The least that a limiter has to do: read the clock, look up a key in a map, and return a promise. */
function floor({ keys }) {
  const times = new Map(keys.map((key) => [key, 0]));
  const checkSync = (key) => performance.now() >= times.get(key);
  return { check: async (key) => performance.now() >= times.get(key), checkSync, admits: isTrue };
}

function sluicegate({ limits, maxKeys }) {
  const store = new MemoryStore({ maxKeys });
  const options = limits.map(({ maxCalls, periodMs }, at) => ({
    name: `Layer ${at}`,
    maxCalls,
    period: `${periodMs}ms`,
  }));
  const [{ maxCalls, period }] = options;
  const limiter =
    options.length === 1
      ? new AsyncRateLimiter({ maxCalls, period, store })
      : new LayeredRateLimiter({ limits: options, store });
  const check = (key) => limiter.isAllowed(key);
  return { check, checkSync: (key) => limiter.checkSync(key).allowed, admits: isTrue, size: () => store.size };
}

function rateLimiterFlexible({ limits }) {
  const each = limits.map(
    ({ maxCalls, periodMs }, at) =>
      new flexible.RateLimiterMemory({ points: maxCalls, duration: periodMs / 1000, keyPrefix: `layer${at}` }),
  );
  const limiter = each.length === 1 ? each[0] : new flexible.RateLimiterUnion(...each);
  const size = () => each[0]._memoryStorage._storage.size;
  // A timer for each key would keep the limiter alive.
  const close = (keys) => keys.forEach((key) => each.forEach((one) => void one.delete(key)));
  return { check: (key) => limiter.consume(key), admits: () => true, size, close };
}

function expressRateLimit({ maxCalls, periodMs }) {
  const store = new ExpressStore();
  store.init({ windowMs: periodMs });
  const size = () => store.current.size + store.previous.size;
  const close = () => store.shutdown();
  return { check: (key) => store.increment(key), admits: ({ totalHits }) => totalHits <= maxCalls, size, close };
}

function fastifyRateLimit({ maxCalls, periodMs, maxKeys }) {
  const store = new localStore(false, false, maxKeys);
  const check = (key) =>
    new Promise((resolve, reject) => {
      store.incr(key, (error, answer) => (error ? reject(error) : resolve(answer)), periodMs, maxCalls);
    });
  const admits = ({ current }) => current <= maxCalls;
  const checkSync = (key) => {
    let answer;
    store.incr(key, (_, given) => (answer = given), periodMs, maxCalls);
    return admits(answer);
  };
  return { check, checkSync, admits, size: () => store.lru.size };
}

function honoRateLimiter({ maxCalls, periodMs }) {
  const store = new HonoStore();
  store.init({ windowMs: periodMs });
  const admits = ({ totalHits }) => totalHits <= maxCalls;
  // Its store is synchronous, and its middleware awaits the result.
  const check = async (key) => store.increment(key);
  const size = () => store.current.size + store.previous.size;
  return { check, checkSync: (key) => admits(store.increment(key)), admits, size, close: () => store.shutdown() };
}

function limiter({ maxCalls, periodMs }) {
  const each = new Map();
  const of = (key) => {
    let one = each.get(key);
    if (one === undefined) {
      one = new RateLimiter({ tokensPerInterval: maxCalls, interval: periodMs, fireImmediately: true });
      each.set(key, one);
    }
    return one;
  };
  const checkSync = (key) => of(key).tryRemoveTokens(1);
  return { check: (key) => of(key).removeTokens(1), checkSync, admits: (left) => left >= 0, size: () => each.size };
}

/** Loaded only when it is measured, because it imports much of a framework. */
const nest = async () => {
  await import("reflect-metadata");
  const { ThrottlerStorageService } = await import("@nestjs/throttler/dist/throttler.service.js");
  return ({ maxCalls, periodMs, sweepMs }) => {
    const store = new ThrottlerStorageService();
    if (sweepMs !== undefined) store.sweepIntervalMs = sweepMs;
    // Blocks for one window, which is the default of its guard.
    const check = (key) => store.increment(key, periodMs, maxCalls, periodMs, "default");
    const close = () => store.onApplicationShutdown();
    return { check, admits: ({ isBlocked }) => !isBlocked, size: () => store.storage.size, close };
  };
};

function throttled({ limits: [{ maxCalls, periodMs }] }) {
  const check = pThrottle({ limit: maxCalls, interval: periodMs, strict: true })(() => true);
  return { check, admits: isTrue };
}

function origin({ maxCalls, periodMs }) {
  const one = new OriginRateLimiter(maxCalls, periodMs / 1000);
  return { check: (key) => one.isAllowed(key), admits: isTrue, size: () => one.calls.size };
}

const always = (open) => async () => open;

/** In the order of the table. A limiter with `keyed: false` has no keys, and delays calls instead of refusing them. */
export const PEERS = {
  floor: { load: always(floor), algorithm: "no limiter" },
  sluicegate: { load: always(sluicegate), algorithm: "log of calls" },
  "rate-limiter-flexible": { load: always(rateLimiterFlexible), algorithm: "counter" },
  "express-rate-limit": { load: always(inTurn(expressRateLimit)), algorithm: "counter" },
  "@fastify/rate-limit": { load: always(inTurn(fastifyRateLimit)), algorithm: "counter" },
  "hono-rate-limiter": { load: always(inTurn(honoRateLimiter)), algorithm: "counter" },
  limiter: { load: always(inTurn(limiter)), algorithm: "token bucket" },
  "@nestjs/throttler": { load: async () => inTurn(await nest()), algorithm: "log of calls, filtered" },
  "p-throttle": { load: always(throttled), algorithm: "log of calls, no keys", keyed: false },
  "filtered list of times": { load: always(inTurn(origin)), algorithm: "log of calls, filtered" },
};
