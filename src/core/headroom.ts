/** As small as frames get, so many more of them than a write is deep: by `test/store/dive.mjs` 16 are enough, and 8 are not. */
const FRAMES = 24;

/**
 * Fails now where the stack is nearly full, so that a write of several steps does not fail between two of them: a caller that
 * recurses too deep, catches the overflow and goes on is to find everything as it was.
 *
 * @returns how many frames there is room for: so that no compiler makes a loop of the recursion.
 * @throws RangeError that the maximum call stack size is exceeded, as the write would.
 */
export function headroom(frames: number = FRAMES): number {
  return frames === 0 ? 0 : 1 + headroom(frames - 1);
}
