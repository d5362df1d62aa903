import type { Decision } from "../core/decision.js";
import type { BatchItem, Store, StoreResult } from "../store/store.js";

/** What a copy of this package publishes for its limiters. */
export interface PublishedLimiter {
  /**
   * Whether an object was made by the constructor of a limiter of that copy. A proxy of a limiter, and an object that inherits
   * from one, have its properties, but none of its private fields.
   */
  isLimiter(value: object): boolean;
  /** The call of one member of an `allOf`. Calls the `bypass` of the limiter. */
  memberCall(limiter: unknown, key: never, cost: number): MemberCall;
}

/** The call of one limiter, as a part of a call of `allOf`. */
export interface MemberCall {
  readonly store: Store;
  /** The creation order of the limiters of this process, whichever copy of this package created them. */
  readonly order: number;
  /** The `bypass` of the limiter returned true: the store is not queried. */
  readonly isBypassed: boolean;
  /** The call for the store. The first call of this method reads the limits in force. */
  item(): BatchItem;
  /** Makes the decision from the result of the store; without a result, the decision of a bypassed call. */
  decide(result: StoreResult | undefined): Decision;
  /** Calls `onDecision`. */
  notify(decision: Decision): void;
}
