// Calls in memory: sluicegate and each peer in turns, in one process for each pair.
import { result } from "../child.mjs";
import { median, spread, table } from "../stats.mjs";
import { PEERS } from "./peers.mjs";
import { FEW, SHAPES } from "./shapes.mjs";

export const PAIRED = Object.keys(PEERS).filter((name) => name !== "sluicegate");

/** The time of the peer as a multiple of sluicegate's, for each round. */
export const ratios = ({ ns: [ours, theirs] }) => theirs.map((value, round) => value / ours[round]);

/**
 * @param options.shapes - names; all if it is empty.
 */
export async function memory({ quick, peers = PAIRED, shapes = quick ? FEW : [] }) {
  const pairs = [];
  for (const peer of peers) {
    const args = [peer, shapes.join(";"), quick ? "3" : "5"];
    pairs.push(await result("memory/pair.mjs", args, { flags: ["--expose-gc"] }));
    console.error(`memory: ${peer}`);
  }
  return pairs;
}

export function printMemory(pairs) {
  for (const { name } of SHAPES) {
    const rows = pairs.map(({ peer, rows }) => ({ peer, ...rows.find(({ shape }) => shape === name) }));
    const measured = rows.filter(({ ns }) => ns !== undefined);
    if (measured.length === 0) continue;
    console.log(`\n${name}\n`);
    const cells = measured.map((row) => [row.peer, `${median(row.ns[1]).toFixed(0)} ns`, spread(ratios(row))]);
    const ours = median(measured.flatMap(({ ns }) => ns[0]));
    cells.splice(1, 0, ["sluicegate", `${ours.toFixed(0)} ns`, "1"]);
    console.log(table(["limiter", "a call", "times as long as sluicegate"], cells));
    for (const { peer, skipped } of rows) if (skipped !== undefined) console.log(`${peer}: skipped, ${skipped}`);
  }
}
