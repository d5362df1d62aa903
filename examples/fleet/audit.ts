import type { Answer } from "./traffic.js";

/** The claims about a fleet whose Redis was down for a while. */
export interface Claim {
  readonly maxCalls: number;
  readonly periodMs: number;
  /** When Redis went down, and when it came back. */
  readonly wentAt: number;
  readonly cameBackAt: number;
  /** The longest time until the fleet notices that Redis is down, or that it is back. */
  readonly withinMs: number;
}

/**
 * Verifies the claims of the demo from the responses alone; returns one line for each violation.
 *
 * While Redis is up, no user is admitted more than `maxCalls` in any window. When it goes down, and when it comes back empty, a window may
 * contain the calls counted before and those counted after: twice that. Every request gets a response.
 */
export function audit(answers: readonly Answer[], claim: Claim): string[] {
  const { maxCalls, periodMs, wentAt, cameBackAt, withinMs } = claim;
  const wrong = answers
    .filter(({ status }) => status !== 200 && status !== 429)
    .map(({ user, status }) => `${user} got a ${String(status)}`);
  for (const { answeredBy, sentAt, answeredAt } of answers) {
    if (answeredBy === "fallback" && (answeredAt < wentAt || sentAt > cameBackAt + withinMs)) {
      wrong.push("the fallback answered while Redis was up");
    }
    if (answeredBy === "redis" && sentAt > wentAt && answeredAt < cameBackAt) wrong.push("a dead Redis answered");
  }
  for (const user of new Set(answers.map((answer) => answer.user))) {
    const admitted = answers.filter((answer) => answer.user === user && answer.status === 200);
    for (const first of admitted) {
      const end = first.sentAt + periodMs;
      // The decision fell between request and response, so count only calls that were certainly in the window.
      const within = admitted.filter(({ sentAt, answeredAt }) => sentAt >= first.sentAt && answeredAt < end).length;
      const touchesChange = [wentAt, cameBackAt].some((at) => at < end && first.sentAt < at + withinMs);
      const most = touchesChange ? 2 * maxCalls : maxCalls;
      if (within > most) wrong.push(`${user}: ${String(within)} admitted in one window`);
    }
  }
  return wrong;
}
