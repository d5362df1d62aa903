import { certainlyUsed, type ObservedCall } from "../../test/support/model.js";
import type { Exchange } from "./traffic.js";

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
export function audit(exchanges: readonly Exchange[], claim: Claim): string[] {
  const { maxCalls, periodMs, wentAt, cameBackAt, withinMs } = claim;
  const wrong = exchanges
    .filter(({ status }) => status !== 200 && status !== 429)
    .map(({ user, status }) => `${user} got a ${String(status)}`);
  for (const { source, sentAt, receivedAt } of exchanges) {
    if (source === "fallback" && (receivedAt < wentAt || sentAt > cameBackAt + withinMs)) {
      wrong.push("the fallback decided while Redis was up");
    }
    if (source === "redis" && sentAt > wentAt && receivedAt < cameBackAt) wrong.push("Redis decided while it was down");
  }
  for (const user of new Set(exchanges.map((exchange) => exchange.user))) {
    const admitted = exchanges.filter(({ user: other, status }) => other === user && status === 200).map(observed);
    for (const { from } of admitted) {
      const touchesChange = [wentAt, cameBackAt].some((at) => at < from + periodMs && from < at + withinMs);
      const count = certainlyUsed(admitted, from, periodMs);
      if (count > (touchesChange ? 2 * maxCalls : maxCalls))
        wrong.push(`${user}: ${String(count)} admitted in one window`);
    }
  }
  return wrong;
}

function observed({ user, status, sentAt, receivedAt }: Exchange): ObservedCall {
  return { key: user, admitted: status === 200, from: sentAt, to: receivedAt };
}
