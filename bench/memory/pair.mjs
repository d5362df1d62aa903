// Measures sluicegate and a peer in turns, in one process: `node pair.mjs PEER [shape;…] [rounds]`. Runs on any runtime with
// node:process.
import process from "node:process";
import { PEERS } from "./peers.mjs";
import { keysOf, SHAPES } from "./shapes.mjs";

const [peer, wanted = "", rounds = "5"] = process.argv.slice(2);
const RUN_MS = 30;
const MAX_KEYS = 1_000_000;

/** One limiter of the pair, with loops that only it uses. */
async function sideOf(name) {
  const { awaited, sync } = await import(`./loop.mjs?${name.replaceAll(/\W/g, "-")}`);
  return { name, open: await PEERS[name].load(), awaited, sync };
}

async function prepared(side, shape, keys) {
  const limiter = side.open({ limits: shape.limits, keys, maxKeys: MAX_KEYS });
  await side.awaited(limiter, keys, 0, keys.length * shape.before);
  return limiter;
}

/** Nanoseconds per call. */
async function timed(side, shape, limiter, keys, from, calls) {
  const start = performance.now();
  const allowed = shape.sync ? side.sync(limiter, keys, from, calls) : await side.awaited(limiter, keys, from, calls);
  const ms = performance.now() - start;
  // The results must be those of the shape. A hot key may lose a few calls after a pause.
  if (side.name !== "floor" && (shape.denied ? allowed > 0 : allowed < 0.95 * calls)) {
    throw new Error(`${side.name}, ${shape.name}: ${allowed} of ${calls} were allowed`);
  }
  return (ms * 1e6) / calls;
}

async function measured(sides, shape) {
  const keys = keysOf(shape.keys);
  const state = [];
  for (const side of sides) {
    const limiter = await prepared(side, shape, keys);
    const trial = Math.min(2000, shape.calls ?? Infinity);
    const ns = Math.min(await timed(side, shape, limiter, keys, 0, trial), 1e5);
    const calls = Math.min(shape.calls ?? Infinity, Math.max(500, Math.round((RUN_MS * 1e6) / ns)));
    state.push({ side, limiter, calls, from: 0, samples: [] });
  }
  for (let round = -1; round < Number(rounds); round += 1) {
    // The order alternates, and the first round is a warm-up.
    for (const one of round % 2 === 0 ? state : state.toReversed()) {
      if (shape.fresh) {
        one.limiter.close?.(keys);
        one.limiter = await prepared(one.side, shape, keys);
        // Collects the garbage of the previous limiter, if the runtime has `gc`.
        globalThis.gc?.();
      }
      const ns = await timed(one.side, shape, one.limiter, keys, one.from, one.calls);
      one.from = (one.from + one.calls) % keys.length;
      if (round >= 0) one.samples.push(Math.round(ns * 10) / 10);
      else if (shape.calls === undefined) one.calls = Math.max(500, Math.round((RUN_MS * 1e6) / ns));
    }
  }
  for (const { limiter } of state) limiter.close?.(keys);
  return { shape: shape.name, ns: state.map(({ samples }) => samples) };
}

/** Why a peer skips a shape, or undefined. */
function reasonToSkip(shape) {
  const { keyed = true } = PEERS[peer];
  if (!keyed && (!shape.unkeyed || shape.sync)) return "it has no keys, and calls wait instead of being refused";
  return undefined;
}

const sides = [await sideOf("sluicegate"), await sideOf(peer)];
const shapes = SHAPES.filter(({ name }) => wanted === "" || wanted.split(";").includes(name));
// Every limiter runs every shape before the first is measured, as in a process that uses all of them.
for (const shape of SHAPES) {
  if (reasonToSkip(shape) !== undefined) continue;
  const keys = keysOf(Math.min(shape.keys, 50));
  for (const side of sides) {
    const limiter = await prepared(side, shape, keys);
    await side.awaited(limiter, keys, 0, 2000);
    if (limiter.checkSync !== undefined) side.sync(limiter, keys, 0, 2000);
    limiter.close?.(keys);
  }
}
const rows = [];
for (const shape of shapes) {
  const isSync = sides[1].open({ limits: shape.limits, keys: [], maxKeys: 1 }).checkSync !== undefined;
  const skipped = reasonToSkip(shape) ?? (shape.sync && !isSync ? "it has no synchronous method" : undefined);
  rows.push(skipped === undefined ? await measured(sides, shape) : { shape: shape.name, skipped });
}
console.log(JSON.stringify({ peer, rows }));
// Some peers leave timers.
process.exit(0);
