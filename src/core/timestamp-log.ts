/**
 * The log of one key: the stamps of the calls that were admitted, oldest to newest, in a ring that grows as it must.
 *
 * The invariant everything rests on: **the ring holds every stamp that is live in any layer**. A full ring whose oldest
 * stamp is dead in the longest period overwrites it, otherwise it grows; it is never cut, so a limit that is lowered and
 * raised again has lost nothing.
 *
 * It is one plain array, a header and the ring behind it, and not an object with fields: a million keys with one call
 * each are the common case, and every further object costs each of them 16 to 200 bytes (a typed array the most).
 */
export type TimestampLog = number[];

/** Where the store keeps this log: a number of the store's own, which no function here reads. */
const PLACE = 0;
/** Which log this is: of two logs that one key had one after the other, they differ. */
const EPOCH = 1;
/** Where in the ring the next stamp goes; in a full ring that is where the oldest is. */
const HEAD = 2;
/** How many stamps the ring holds, the dead ones not overwritten yet included. */
const COUNT = 3;
/** The ring starts here and is all the rest: its capacity is the array's length less this. */
const RING = 4;

/** A log without stamps, for a key that has none: the answer to a first call comes from it. Never written to. */
export const EMPTY_LOG: TimestampLog = createLog(0, 0);

/** Makes a log with room for one stamp, because most keys never come twice. */
export function createLog(place: number, epoch: number): TimestampLog {
  // The half is nobody's stamp: it makes an array of doubles from birth, as the stamps would later. Of two kinds of array,
  // one of them with holes, every reader here would have to ask which it is.
  return [place, epoch, 0, 0, 0.5];
}

/** The store's number of where it keeps this log. */
export function placeOf(log: TimestampLog): number {
  return slot(log, PLACE);
}

/** Notes where the store keeps this log from now on. */
export function setPlace(log: TimestampLog, place: number): void {
  log[PLACE] = place;
}

/** The number that tells this log from every other log of the process, growth aside. */
export function epochOf(log: TimestampLog): number {
  return slot(log, EPOCH);
}

/** Whether no stamp is left. A log of dead stamps only is not empty. */
export function isEmpty(log: TimestampLog): boolean {
  return slot(log, COUNT) === 0;
}

/** The `n`-th most recent stamp, 1 being the newest, or `-Infinity` where there are fewer: a call infinitely long ago. */
export function nthMostRecent(log: TimestampLog, n: number): number {
  return n > slot(log, COUNT) ? -Infinity : slot(log, indexOf(log, n));
}

/** How many stamps are after `instant`: a binary search, because a log is in order. */
export function countAfter(log: TimestampLog, instant: number): number {
  let least = 0;
  let most = slot(log, COUNT);
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    if (slot(log, indexOf(log, middle)) > instant) least = middle;
    else most = middle - 1;
  }
  return least;
}

/**
 * Records one stamp and returns the log it is in: this one, or a larger one that takes its place.
 *
 * @param stamp - not below the newest.
 * @param horizon - stamps up to this instant are dead in every layer, and may be overwritten.
 */
export function append(log: TimestampLog, stamp: number, horizon: number): TimestampLog {
  const count = slot(log, COUNT);
  const head = slot(log, HEAD);
  // In a full ring the oldest is where the next one goes.
  const isFull = count === log.length - RING;
  if (isFull && slot(log, RING + head) > horizon) return append(grown(log), stamp, horizon);
  log[RING + head] = stamp;
  log[HEAD] = RING + head + 1 === log.length ? 0 : head + 1;
  if (!isFull) log[COUNT] = count + 1;
  return log;
}

/**
 * Takes away up to `most` of the stamps that equal `stamp`, and returns how many it took.
 *
 * Newer stamps move into the gap, so it costs what has come since: nothing for the latest call.
 */
export function removeStamps(log: TimestampLog, stamp: number, most: number): number {
  const newer = countAfter(log, stamp);
  let taken = 0;
  while (taken < most && nthMostRecent(log, newer + taken + 1) === stamp) taken += 1;
  if (taken === 0) return 0;
  for (let n = newer; n >= 1; n -= 1) log[indexOf(log, n + taken)] = slot(log, indexOf(log, n));
  // Precondition of the next line: the newest stamp that stays is now `taken` places back.
  log[HEAD] = indexOf(log, taken) - RING;
  log[COUNT] = slot(log, COUNT) - taken;
  return taken;
}

/** A log twice as large with the same stamps. Precondition: `log` is full. */
function grown(log: TimestampLog): TimestampLog {
  // Two copies of the ring, one behind the other, hold all stamps in order from the head of the first to that of the
  // second. Of the exact size: `push` and a longer `length` would both reserve room for 16 stamps more, on every key.
  const larger = log.concat(log.slice(RING));
  larger[HEAD] = slot(log, HEAD) + slot(log, COUNT);
  return larger;
}

/** The index of the `n`-th most recent stamp. Precondition: 1 <= n <= the ring's capacity. */
function indexOf(log: TimestampLog, n: number): number {
  const back = slot(log, HEAD) - n;
  return back < 0 ? log.length + back : RING + back;
}

/** One element. Precondition: `index` is within the array. */
function slot(log: TimestampLog, index: number): number {
  return log[index] as number;
}
