import type { Limit } from "../core/limit.js";
import { wholeSeconds } from "../core/decision.js";
import type { HeaderEntry, LimiterResult } from "./headers.js";
import { checkPolicyNames, policyName, quotaOf } from "./headers.js";

/**
 * The fields of draft-ietf-httpapi-ratelimit-headers-11. Later drafts rename their parameters: another file then.
 *
 * `RateLimit-Policy` tells of each limit its quota `q` in the window of `w` seconds; of a limit that load has reduced, what
 * it is in quiet times, because a policy is to stay the same. `RateLimit` tells what remains, `r`, and the effective window
 * `t`: for how many seconds no more than that can be used. There is no `t` where nothing has been used, nor where nothing
 * ever can be.
 *
 * Windows are whole seconds, so parts of one are rounded up: a client that keeps to `10 in 1 s` is within `10 in 500 ms`.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/11/
 */
export function rateLimitDraft11(answers: readonly LimiterResult[]): readonly HeaderEntry[] {
  let policy = "";
  let standing = "";
  for (const { name, limits, decision } of answers) {
    const { layers } = decision;
    const told = limits?.length === layers.length ? constantsOf(name, limits) : formatPolicies(name, layers);
    policy += policy === "" ? told.policy : `, ${told.policy}`;
    for (const [at, { remaining, moreAfterMs, periodMs }] of layers.entries()) {
      standing += `${standing === "" ? "" : ", "}${told.names[at] ?? ""};r=${remaining}`;
      // Of a call just made it is a millisecond more than the period, because time is rounded to the safe side.
      if (moreAfterMs < Infinity) standing += `;t=${wholeSeconds(Math.min(moreAfterMs, periodMs))}`;
    }
  }
  return [
    ["RateLimit-Policy", policy],
    ["RateLimit", standing],
  ];
}

/** What is the same in every answer of a limiter: its policies, and the names of its limits as they are spelled. */
interface Constants {
  readonly limiterName: string | undefined;
  readonly policy: string;
  readonly names: readonly string[];
}

const constants = new WeakMap<readonly Limit[], Constants>();

function constantsOf(limiterName: string | undefined, limits: readonly Limit[]): Constants {
  const known = constants.get(limits);
  if (known !== undefined && known.limiterName === limiterName) return known;
  const made = formatPolicies(limiterName, limits);
  constants.set(limits, made);
  return made;
}

function formatPolicies(limiterName: string | undefined, limits: readonly Limit[]): Constants {
  // Of a limiter that tells its limits they were checked when the guard was made; of a fake they are seen here first.
  checkPolicyNames(limiterName, limits);
  const names = limits.map((limit) => quoted(policyName(limiterName, limit)));
  const policy = limits.map((limit, at) => {
    return `${names[at] ?? ""};q=${quotaOf(limit)};w=${wholeSeconds(limit.periodMs)}`;
  });
  return { limiterName, policy: policy.join(", "), names };
}

/** A String of RFC 9651, section 3.3.3. Precondition: printable ASCII. */
function quoted(name: string): string {
  return `"${name.replace(/["\\]/g, "\\$&")}"`;
}
