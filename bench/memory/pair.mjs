// Two limiters in turns, in one process: `node pair.mjs PEER [shape,…] [rounds]`. Any runtime that has node:process will do.
import process from "node:process";
import { PEERS } from "./peers.mjs";
import { keysOf, SHAPES } from "./shapes.mjs";

const [peer, wanted = "", rounds = "5"] = process.argv.slice(2);
const RUN_MS = 30;
const MAX_KEYS = 1_000_000;

/** A limiter's side of the pair: how to open it, and loops that only it runs through. */
async function sideOf(name) {
  const { awaited, sync } = await import(`./loop.mjs?${name.replaceAll(/\W/g, "-")}`);
  return { name, open: await PEERS[name].load(), awaited, sync };
}

async function prepared(side, shape, keys) {
  const limiter = side.open({ limits: shape.limits, keys, maxKeys: MAX_KEYS });
  await side.awaited(limiter, keys, 0, keys.length * shape.before);
  return limiter;
}

/** Nanoseconds of one call. */
async function timed(side, shape, limiter, keys, from, calls) {
  const start = performance.now();
  const allowed = shape.sync ? side.sync(limiter, keys, from, calls) : await side.awaited(limiter, keys, from, calls);
  const ms = performance.now() - start;
  // A limiter that does not answer what the shape says is not measured. A hot key may lose a few calls after a pause.
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
    // Another one goes first each time, and the first round warms up.
    for (const one of round % 2 === 0 ? state : state.toReversed()) {
      if (shape.fresh) {
        one.limiter.close?.(keys);
        one.limiter = await prepared(one.side, shape, keys);
        // What the last one left is not this one's to collect. Runtimes that were started without `gc` do as they like.
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

/** Why a peer is not asked for a shape, or undefined. */
function reasonToSkip(shape) {
  const { keyed = true } = PEERS[peer];
  if (!keyed && (!shape.unkeyed || shape.sync)) return "knows no keys, and refuses nothing: a call waits";
  return undefined;
}

const sides = [await sideOf("sluicegate"), await sideOf(peer)];
const shapes = SHAPES.filter(({ name }) => wanted === "" || wanted.split(";").includes(name));
// All have seen all before the first is measured: what runs fast only while it runs alone is of no use.
for (const shape of SHAPES) {
  if (reasonToSkip(shape) !== undefined) continue;
  const keys = keysOf(Math.min(shape.keys, 50));
  for (const side of sides) {
    const limiter = await prepared(side, shape, keys);
    await side.awaited(limiter, keys, 0, 2000);
    if (limiter.askSync !== undefined) side.sync(limiter, keys, 0, 2000);
    limiter.close?.(keys);
  }
}
const rows = [];
for (const shape of shapes) {
  const isSync = sides[1].open({ limits: shape.limits, keys: [], maxKeys: 1 }).askSync !== undefined;
  const skipped = reasonToSkip(shape) ?? (shape.sync && !isSync ? "has no verb without a promise" : undefined);
  rows.push(skipped === undefined ? await measured(sides, shape) : { shape: shape.name, skipped });
}
console.log(JSON.stringify({ peer, rows }));
// Peers leave timers behind, one for each key some of them.
process.exit(0);
