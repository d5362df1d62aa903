// What a process holds, in bytes. Logs are in array buffers, which are not in the heap.
import process from "node:process";

export function heldBytes() {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** What it holds that is no garbage. Needs `--expose-gc`. */
export async function keptBytes() {
  // What the last case left behind goes in a turn of its own, when nothing on the stack holds it any more; array buffers go
  // in a thread of their own, some time after the collection that found them.
  for (let round = 0; round < 2; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    globalThis.gc();
  }
  return heldBytes();
}
