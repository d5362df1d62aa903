import type { Decision } from "../core/decision.js";
import type { Ask, Store, Verdict } from "../store/store.js";

/** A limiter's part in a call about several keys: what `allOf` needs to know of it. */
export interface Part {
  readonly store: Store;
  /** Of any two limiters, the one made first has the lower. */
  readonly order: number;
  /** The call is let through, and nobody is asked. */
  readonly isBypassed: boolean;
  /** What to ask of the store. The limits are read when this is called first, and not again. */
  readonly ask: () => Ask;
  /** The decision that a verdict comes to, or, without one, that of a bypassed call. Tells nobody. */
  readonly decide: (verdict: Verdict | undefined) => Decision;
  /** Tells `onDecision`. */
  readonly announce: (decision: Decision) => void;
}
