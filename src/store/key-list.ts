/** Keys of a page, as a power of 2. */
const PAGE_LOG2 = 12;
const WITHIN_PAGE = 2 ** PAGE_LOG2 - 1;

/**
 * A list of keys, in pages: an array of a million would be copied each time it grows, and the process stand still for 30 ms.
 */
export class KeyList {
  #pages: string[][] = [[]];
  #length = 0;

  /** Precondition: 0 <= index, and below the length. */
  at(index: number): string {
    return this.#pageOf(index)[index & WITHIN_PAGE] as string;
  }

  /** Precondition: 0 <= index, and below the length. */
  set(index: number, key: string): void {
    this.#pageOf(index)[index & WITHIN_PAGE] = key;
  }

  push(key: string): void {
    if (this.#pages.length === this.#length >>> PAGE_LOG2) this.#pages.push([]);
    this.#pageOf(this.#length).push(key);
    this.#length += 1;
  }

  /** Takes the last key off the list. Precondition: there is one. */
  pop(): string {
    this.#length -= 1;
    const key = this.#pageOf(this.#length).pop() as string;
    if ((this.#length & WITHIN_PAGE) === 0 && this.#length > 0) this.#pages.pop();
    return key;
  }

  clear(): void {
    this.#pages = [[]];
    this.#length = 0;
  }

  #pageOf(index: number): string[] {
    return this.#pages[index >>> PAGE_LOG2] as string[];
  }
}
