// The most calls that each limiter admits in any window, for a limit of 100, with fake time and the same schedules in every run.
import { result } from "../child.mjs";
import { PEERS } from "../memory/peers.mjs";
import { table } from "../stats.mjs";

export async function exactness({ quick }) {
  const rows = [];
  for (const peer of Object.keys(PEERS).filter((name) => name !== "floor")) {
    rows.push(await result("exactness/worst.mjs", [peer, quick ? "50" : "400"]));
  }
  console.log("\nThe most calls in any window of 1 s, for a limit of 100 a second\n");
  const cells = rows.map(({ peer, whole, any }) => [peer, PEERS[peer].algorithm, String(whole.most), String(any.most)]);
  console.log(table(["limiter", "what it stores", "calls at whole ms", "calls at any instant"], cells));
  return rows;
}
