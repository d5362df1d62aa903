/** Up to this many keys are in one `Map`, which takes about a millisecond to move when it grows. */
const FEW = 2 ** 14;
/** The number of maps beyond that, as a power of 2. */
const MAPS_LOG2 = 8;

type Places = Map<string, number>;

/**
 * Finds the place of a key: as fast as a `Map` among few keys, and without the pauses of a `Map` among millions.
 *
 * A `Map` moves all its entries when it grows, and again while keys come and go: with a million keys that stops the process
 * for a tenth of a second. Many maps each move their own part.
 */
export class KeyIndex {
  #one: Places = new Map();
  #many: readonly Places[] | undefined;
  // Random for each index, so that no client can choose keys that all belong to one map.
  #seed = 0;
  #multiplier = 1;

  /** The place of a key; undefined for a key that has none. */
  get(key: string): number | undefined {
    return (this.#many === undefined ? this.#one : (this.#many[this.#hashOf(key)] as Places)).get(key);
  }

  /** The map that a key belongs to, until the next call of {@link makeRoom}. */
  mapOf(key: string): Places {
    return this.#many === undefined ? this.#one : (this.#many[this.#hashOf(key)] as Places);
  }

  /** Prepares for one more key: moves the keys from one map to many when they are too many for one. */
  makeRoom(): void {
    if (this.#many !== undefined || this.#one.size < FEW) return;
    this.#seed = Math.floor(Math.random() * 2 ** 32) | 0;
    this.#multiplier = Math.floor(Math.random() * 2 ** 32) | 1;
    const many = Array.from({ length: 2 ** MAPS_LOG2 }, (): Places => new Map());
    for (const [key, place] of this.#one) many[this.#hashOf(key)]?.set(key, place);
    // Last: if a stack overflow stops the move, the next key tries again.
    this.#many = many;
    this.#one = new Map();
  }

  /**
   * Reads every character, because the keys of one client may differ in any of them. Without the shift, Thue-Morse words would
   * have the same hash for every multiplier.
   */
  #hashOf(key: string): number {
    const { length } = key;
    let hash = this.#seed ^ length;
    for (let at = 1; at < length; at += 2) {
      hash = Math.imul(hash ^ key.charCodeAt(at - 1) ^ (key.charCodeAt(at) << 16), this.#multiplier);
      hash ^= hash >>> 15;
    }
    if (length % 2 === 1) hash ^= key.charCodeAt(length - 1);
    return Math.imul(hash, this.#multiplier) >>> (32 - MAPS_LOG2);
  }
}
