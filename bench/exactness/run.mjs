// The most calls that each peer admits in any window, for a limit of 100: fake time, the same schedules in every run.
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
  console.log(table(["limiter", "what it keeps", "asked at whole ms", "asked at any instant"], cells));
  return rows;
}
