import { type ObservedCall, violationsOf } from "../../test/support/model.js";
import type { Exchange } from "./client.js";

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
export function audit(exchanges: readonly Exchange[], claims: Readonly<Record<Exchange["limit"], Claim>>): string[] {
  return (["passwordReset", "login", "search"] as const).flatMap((limit) => {
    const calls = exchanges.filter((exchange) => exchange.limit === limit).map(observed);
    return violationsOf(calls, [claims[limit]]);
  });
}

/** Whether the limiter admitted the call. */
export function isAdmitted({ status }: Exchange): boolean {
  return status !== 429;
}

function observed(exchange: Exchange): ObservedCall {
  const { limit, key, status, sentAt, receivedAt } = exchange;
  const admitted = isAdmitted(exchange);
  return {
    key: `${limit} of ${key}`,
    admitted,
    // Capacity returns up to a millisecond late, because a store rounds.
    from: admitted ? sentAt : sentAt - 1,
    to: receivedAt,
    // A successful login is refunded before its response.
    refunded: limit === "login" && status === 200,
  };
}
