import type { Exchange } from "./traffic.js";

const SOURCES = ["redis", "deny-cache", "fallback"] as const;

export const HEADING = ["second", "admitted", "refused", ...SOURCES, "p99 ms"]
  .map((name) => name.padStart(12))
  .join("");

/** The line of one second: admitted and refused requests, the sources of their decisions, and the 99th percentile of latency. */
export function lineOf(second: number, exchanges: readonly Exchange[]): string {
  const admitted = exchanges.filter(({ status }) => status === 200).length;
  const by = SOURCES.map((source) => exchanges.filter((exchange) => exchange.source === source).length);
  const waits = exchanges.map(({ sentAt, receivedAt }) => receivedAt - sentAt).sort((one, other) => one - other);
  const p99 = waits[Math.ceil(waits.length * 0.99) - 1] ?? 0;
  return [second, admitted, exchanges.length - admitted, ...by, p99.toFixed(1)]
    .map((cell) => String(cell).padStart(12))
    .join("");
}
