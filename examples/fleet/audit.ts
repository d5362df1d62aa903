import type { Answer } from "./traffic.js";

/** What is claimed of a fleet whose Redis was away for a while. */
export interface Claim {
  readonly maxCalls: number;
  readonly periodMs: number;
  /** From when to when Redis was away. */
  readonly wentAt: number;
  readonly cameBackAt: number;
  /** How soon Redis answers again, or is given up, at the latest. */
  readonly withinMs: number;
}

/**
 * Checks the claim of the demo from what clients saw alone; returns what is wrong, a line each.
 *
 * While Redis is there, no user is admitted more than `maxCalls` in any window. While it goes, and when it comes back empty,
 * a window may hold what was counted before and what was counted after: twice that. Everybody is answered all the time.
 */
export function audit(answers: readonly Answer[], claim: Claim): string[] {
  const { maxCalls, periodMs, wentAt, cameBackAt, withinMs } = claim;
  const wrong = answers
    .filter(({ status }) => status !== 200 && status !== 429)
    .map(({ user, status }) => `${user} got a ${String(status)}`);
  for (const { answeredBy, sentAt, answeredAt } of answers) {
    if (answeredBy === "fallback" && (answeredAt < wentAt || sentAt > cameBackAt + withinMs)) {
      wrong.push(`the fallback answered while Redis was there`);
    }
    if (answeredBy === "redis" && sentAt > wentAt && answeredAt < cameBackAt) wrong.push("a dead Redis answered");
  }
  for (const user of new Set(answers.map((answer) => answer.user))) {
    const admitted = answers.filter((answer) => answer.user === user && answer.status === 200);
    for (const first of admitted) {
      const end = first.sentAt + periodMs;
      // The decision fell between question and answer, so only what must have been in the window counts.
      const within = admitted.filter(({ sentAt, answeredAt }) => sentAt >= first.sentAt && answeredAt < end).length;
      const touchesChange = [wentAt, cameBackAt].some((at) => at < end && first.sentAt < at + withinMs);
      const most = touchesChange ? 2 * maxCalls : maxCalls;
      if (within > most) wrong.push(`${user}: ${String(within)} admitted in one window`);
    }
  }
  return wrong;
}
