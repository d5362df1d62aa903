import type { Answer } from "./client.js";

/** A limit that the service promises to its clients. */
export interface Claim {
  readonly maxCalls: number;
  readonly periodMs: number;
}

/**
 * Verifies, from the responses alone, that no key was admitted more than its limit in any window, and that no call was refused that
 * its window allowed. The service decided at some instant between request and response, so a violation is reported only if it holds
 * for every such instant.
 *
 * @returns one line for each violation; empty if there is none.
 */
export function audit(answers: readonly Answer[], claims: Readonly<Record<Answer["limit"], Claim>>): string[] {
  const wrong: string[] = [];
  for (const [name, ofKey] of grouped(answers)) {
    const claim = claims[ofKey[0]?.limit ?? "search"];
    for (const answer of ofKey) {
      if (isCounted(answer)) {
        const end = answer.sentAt + claim.periodMs;
        const within = ofKey.filter(
          (other) => isCounted(other) && other.sentAt >= answer.sentAt && other.answeredAt < end,
        );
        if (within.length > claim.maxCalls) wrong.push(`${name}: ${String(within.length)} admitted in one window`);
      } else if (answer.status === 429) {
        // Capacity returns up to a millisecond late, as a store rounds.
        const start = answer.sentAt - claim.periodMs - 1;
        // A successful login counts until its refund, which precedes its response.
        const forcing = ofKey.filter(
          (other) =>
            other.sentAt < answer.answeredAt &&
            other.answeredAt > (isCounted(other) ? start : answer.sentAt) &&
            isAdmitted(other),
        );
        if (forcing.length < claim.maxCalls) wrong.push(`${name}: refused after ${String(forcing.length)} calls`);
      }
    }
  }
  return wrong;
}

/** Whether the limiter admitted the call. */
export function isAdmitted({ status }: Answer): boolean {
  return status !== 429;
}

/** Whether the call still counts: a successful login is refunded. */
function isCounted(answer: Answer): boolean {
  return isAdmitted(answer) && !(answer.limit === "login" && answer.status === 200);
}

function grouped(answers: readonly Answer[]): Map<string, Answer[]> {
  const groups = new Map<string, Answer[]>();
  for (const answer of answers) {
    const name = `${answer.limit} of ${answer.key}`;
    groups.set(name, [...(groups.get(name) ?? []), answer]);
  }
  return groups;
}
