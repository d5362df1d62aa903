import type { Decision } from "../core/decision.js";
import type { BatchItem, Store, StoreResult } from "../store/store.js";

/** What a copy of this package publishes for its limiters. */
export interface PublishedLimiter {
  /**
   * Whether an object was made by the constructor of a limiter of that copy. A proxy of a limiter, and an object that inherits
   * from one, have its properties, but none of its private fields.
   */
  readonly isLimiter: (value: object) => boolean;
  /** The call of one member of an `allOf`. Calls the `bypass` of the limiter. */
  readonly memberCall: (limiter: unknown, key: never, cost: number) => MemberCall;
}

/** A limiter's part in a call about several keys: what `allOf` needs to know of it. */
export interface MemberCall {
  readonly store: Store;
  /** Of any two limiters in this process, the one made first has the lower, whichever copy of this package made it. */
  readonly order: number;
  /** The call is let through, and nobody is asked. */
  readonly isBypassed: boolean;
  /** What to ask of the store. The limits are read when this is called first, and not again. */
  readonly ask: () => BatchItem;
  /** The decision that a verdict comes to, or, without one, that of a bypassed call. Tells nobody. */
  readonly decide: (verdict: StoreResult | undefined) => Decision;
  /** Tells `onDecision`. */
  readonly announce: (decision: Decision) => void;
}
