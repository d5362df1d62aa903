// The memory of this process, in bytes. Logs are in array buffers, which are outside the heap.
import process from "node:process";

export function heldBytes() {
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** The memory that remains after garbage collection. Needs `--expose-gc`. */
export async function keptBytes() {
  // Twice, with a pause: the stack may still reference the previous case in the first turn, and another thread frees array buffers
  // some time after the collection.
  for (let round = 0; round < 2; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    globalThis.gc();
  }
  return heldBytes();
}
