import { isAdmitted } from "./audit.js";
import type { Exchange } from "./client.js";

/** One second of the timeline: one line for each client that received a response in it. */
export function timelineOf(second: number, exchanges: readonly Exchange[], clients: readonly string[]): string[] {
  const present = clients.filter((client) => exchanges.some((exchange) => exchange.client === client));
  return present.map((client, line) => {
    const mine = exchanges.filter((exchange) => exchange.client === client);
    const allowed = mine.filter(isAdmitted).length;
    const refused = mine.length - allowed;
    const waits = new Map(
      mine.flatMap(({ limit, retryAfter }) => (retryAfter === undefined ? [] : [[limit, retryAfter]])),
    );
    return [
      line === 0 ? `${String(second).padStart(3)} s  ` : " ".repeat(7),
      client.padEnd(9),
      `${String(allowed).padStart(3)} allowed ${bar(allowed, "#")}`.padEnd(25),
      refused === 0 ? "" : `${String(refused).padStart(3)} refused ${bar(refused, "x")}`.padEnd(25),
      waits.size === 0
        ? ""
        : `Retry-After: ${[...waits].map(([limit, wait]) => `${limit} ${String(wait)} s`).join(", ")}`,
    ]
      .join("")
      .trimEnd();
  });
}

/** The table at the end: the responses of each endpoint to each client. */
export function tableOf(exchanges: readonly Exchange[], clients: readonly string[]): string[] {
  const rows = clients.flatMap((client) =>
    (["passwordReset", "login", "search"] as const).flatMap((limit) => {
      const mine = exchanges.filter((exchange) => exchange.client === client && exchange.limit === limit);
      if (mine.length === 0) return [];
      const allowed = mine.filter(isAdmitted).length;
      const keys = new Set(mine.map(({ key }) => key)).size;
      return [[client, limit, keys, mine.length, allowed, mine.length - allowed].map(String)];
    }),
  );
  const table = [["client", "endpoint", "keys", "requests", "allowed", "refused"], ...rows];
  return table.map((cells) => cells.map((cell, at) => (at < 2 ? cell.padEnd(15) : cell.padStart(9))).join(""));
}

/** One mark for each call, up to twelve. */
function bar(calls: number, mark: string): string {
  return calls > 12 ? `${mark.repeat(10)}..` : mark.repeat(calls);
}
