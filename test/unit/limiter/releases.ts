/** The instants at which the callers of `acquire` continue, on the real clock, as the callers see them. */
export class Releases {
  readonly #releases: { readonly at: number; readonly cost: number }[] = [];

  /** Call it first in the code that awaits `acquire`. */
  add(cost = 1): void {
    this.#releases.push({ at: performance.now(), cost });
  }

  get count(): number {
    return this.#releases.length;
  }

  /** The highest total cost in any window `(t - windowMs, t]`. */
  most(windowMs: number): number {
    let most = 0;
    let cost = 0;
    let oldest = 0;
    for (const release of this.#releases) {
      cost += release.cost;
      for (let first = this.#releases[oldest]; first !== undefined; first = this.#releases[oldest]) {
        if (first.at > release.at - windowMs) break;
        cost -= first.cost;
        oldest += 1;
      }
      most = Math.max(most, cost);
    }
    return most;
  }
}

/** Keeps the event loop busy. */
export function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}
