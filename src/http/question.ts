import type { Decision } from "../core/decision.js";
import type { Answer } from "./policy.js";
import type { RequestView } from "./request-view.js";

/** What there is to ask about one request: its limiters and keys are known. */
export interface Question {
  ask(cost: number | undefined): Decision | Promise<Decision>;
  /** What each limiter that was asked said. */
  answersIn(decision: Decision): readonly Answer[];
  /** Whether the limiter that binds is one against abnormal use. */
  isAbuse(decision: Decision): boolean;
  refund(decision: Decision): Promise<unknown>;
}

/**
 * Makes the question about a request; undefined where no limit applies to it.
 *
 * It is there at once where nothing has to be waited for, which is the rule: each promise more is felt on a fast framework.
 */
export type Asker<R> = (request: R) => Question | undefined | Promise<Question | undefined>;

/** What misuse is noticed by. */
export type MisuseView<R> = Pick<RequestView<R>, "target" | "identity">;

/** What a question is made of beside the options. */
export interface Asking<R> {
  /** How misuse is noticed; undefined where it is not to be warned of. */
  readonly misuse: MisuseView<R> | undefined;
  /** The key of a request's client, where there is no other; null where nobody is to be limited. */
  readonly clientOf: (request: R) => string | null;
  /** The names of limits stand in a header, and must be fit for it. */
  readonly isNamed: boolean;
  readonly needsRefund: boolean;
}
