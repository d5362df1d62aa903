/** An item of a {@link DeadlineHeap}. */
export interface HeapItem {
  /** The instant by which the heap orders its items. It must not change while the heap holds the item. */
  expiresAt: number;
  /** The index in the heap, -1 outside of it. The heap maintains it, so that removal needs no search. */
  heapIndex: number;
}

/** A binary heap: finds the item that expires first in O(1), adds an item and removes any item in O(log n). */
export class DeadlineHeap<T extends HeapItem> {
  readonly #items: T[] = [];

  /** The item that expires first. */
  get first(): T | undefined {
    return this.#items[0];
  }

  add(item: T): void {
    this.#items.push(item);
    this.#moveUp(item, this.#items.length - 1);
  }

  /** Removes an item; does nothing if the heap does not hold it. */
  remove(item: T): void {
    const index = item.heapIndex;
    if (index < 0) return;
    item.heapIndex = -1;
    const last = this.#items.pop();
    if (last === undefined || last === item) return;
    // Either direction: `last` comes from another branch of the tree.
    this.#moveDown(last, index);
    this.#moveUp(last, last.heapIndex);
  }

  #moveUp(item: T, from: number): void {
    let index = from;
    while (index > 0) {
      const parentIndex = (index - 1) >>> 1;
      const parent = this.#items[parentIndex] as T;
      if (parent.expiresAt <= item.expiresAt) break;
      this.#place(parent, index);
      index = parentIndex;
    }
    this.#place(item, index);
  }

  #moveDown(item: T, from: number): void {
    let index = from;
    for (;;) {
      let childIndex = 2 * index + 1;
      let child = this.#items[childIndex];
      const right = this.#items[childIndex + 1];
      if (child !== undefined && right !== undefined && right.expiresAt < child.expiresAt) {
        child = right;
        childIndex += 1;
      }
      if (child === undefined || child.expiresAt >= item.expiresAt) break;
      this.#place(child, index);
      index = childIndex;
    }
    this.#place(item, index);
  }

  #place(item: T, index: number): void {
    this.#items[index] = item;
    item.heapIndex = index;
  }
}
