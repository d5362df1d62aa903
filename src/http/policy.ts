import type { Decision, LayerStatus } from "../core/decision.js";
import { expected } from "../core/expected.js";
import type { Limit } from "../core/limit.js";

/** What one limiter answered, and what it is called in HTTP. */
export interface Answer {
  /** What its limits are called after. */
  readonly name: string;
  /** Its limits, where it tells of them: the same array as long as they are the same. */
  readonly limits: readonly Limit[] | undefined;
  readonly decision: Decision;
}

/**
 * What a limit is called in HTTP: by its own name, and, so that no two in one answer share a name, after its limiter
 * (`"api"`, `"api/Burst"`), unless that is called nothing in particular.
 */
export function policyName(limiterName: string, { name }: Pick<Limit, "name">): string {
  if (name === undefined) return limiterName;
  return limiterName === "default" ? name : `${limiterName}/${name}`;
}

/** The names of the limits that refused, in their order. */
export function violatedPolicies(answers: readonly Answer[]): string[] {
  const refusing = ({ retryAfterMs }: LayerStatus): boolean => retryAfterMs > 0;
  // A limiter in shadow mode refuses nobody, whatever its layers say.
  const asked = answers.filter(({ decision }) => !decision.allowed);
  return asked.flatMap(({ name, decision }) =>
    decision.layers.filter(refusing).map((layer) => policyName(name, layer)),
  );
}

/**
 * Checks the names of limits that are to stand in a header.
 *
 * @throws RangeError for what no header may hold. @see RFC 9651, section 3.3.3
 */
export function checkPolicyNames(limiterName: string, limits: readonly Pick<Limit, "name">[]): void {
  for (const limit of limits) {
    const name = policyName(limiterName, limit);
    if (!/^[\x20-\x7e]+$/.test(name)) {
      const rule = "a name of printable ASCII, because it stands in the RateLimit header (or set `headers`)";
      throw new RangeError(expected("limiter.limits", rule, name));
    }
  }
}
