/** Up to this many keys are in one `Map`, which stands still for a few milliseconds when it grows. */
const FEW = 2 ** 15;
/** How many maps the keys are spread over beyond that, a power of 2. */
const MAPS = 256;
/** Keys that move from the one map to the many with each one that is written. */
const MOVED_PER_WRITE = 2;

/**
 * Tells the place of a key, among few keys as fast as a `Map`, and among millions without its pauses.
 *
 * A `Map` moves all it holds when it grows, and again and again where keys come and go: with a million keys the process
 * stands still for a tenth of a second. So what grows large is spread over many, each of which moves its part. Those
 * that were in the one map when it became too large follow a few at a time.
 *
 * Whoever chooses keys that all fall into one of the maps has it grow as large as the one would be, and no larger.
 */
export class PlaceIndex {
  #one = new Map<string, number>();
  /** The keys of `#one` that are still to move. */
  #moving: IterableIterator<[string, number]> | undefined;
  #many: readonly Map<string, number>[] | undefined;

  /** Undefined for a key without a place. */
  get(key: string): number | undefined {
    if (this.#many === undefined) return this.#one.get(key);
    const place = this.#many[mapOf(key)]?.get(key);
    return place === undefined && this.#moving !== undefined ? this.#one.get(key) : place;
  }

  set(key: string, place: number): void {
    if (this.#many === undefined) {
      this.#one.set(key, place);
      if (this.#one.size === FEW) this.#spread();
    } else {
      if (this.#moving !== undefined) this.#move(this.#many, this.#moving, key);
      this.#many[mapOf(key)]?.set(key, place);
    }
  }

  delete(key: string): void {
    if (this.#many === undefined || this.#moving !== undefined) this.#one.delete(key);
    this.#many?.[mapOf(key)]?.delete(key);
  }

  clear(): void {
    this.#one = new Map();
    this.#moving = undefined;
    this.#many = undefined;
  }

  #spread(): void {
    this.#many = Array.from({ length: MAPS }, () => new Map<string, number>());
    this.#moving = this.#one.entries();
  }

  /** Moves a few keys, and `written` with them: it must not be in two maps. */
  #move(many: readonly Map<string, number>[], moving: Iterator<[string, number]>, written: string): void {
    this.#one.delete(written);
    for (let moved = 0; moved < MOVED_PER_WRITE; moved += 1) {
      const next = moving.next();
      if (next.done === true) {
        this.#moving = undefined;
        // Not the one that was emptied: that keeps the room of all it held.
        this.#one = new Map();
        return;
      }
      const [key, place] = next.value;
      many[mapOf(key)]?.set(key, place);
      this.#one.delete(key);
    }
  }
}

/** Which of the maps a key belongs to: by all its letters, or of a long key by at least 64, spread over it. */
function mapOf(key: string): number {
  // Fewer are not enough: of addresses and paths only a few letters differ, and those fall between the ones that are read.
  const step = (key.length >>> 7) + 1;
  let hash = key.length;
  for (let at = key.length - 1; at >= 0; at -= step) hash = Math.imul(hash, 31) + key.charCodeAt(at);
  return (hash ^ (hash >>> 8)) & (MAPS - 1);
}
