import { typeError, ownCopy } from "./validate.js";

/**
 * Several copies of this package may run in one process: as an ES module and as CommonJS, or two versions. A class and a
 * private name belong to one copy, so copies find each other's objects by registered symbols, which belong to the process.
 */

/**
 * The version of what copies read of each other: `PublishedLimiter` with its `MemberCall`, `PublishedDecision` with its `Receipt`,
 * the contract of `Store`, and the namespaces of memory stores that `checkInMemory` reads. Raise it when one of them changes.
 */
const PROTOCOL = 1;

/** The kinds of objects that a copy publishes. */
type Role = "limiter" | "decision" | "store" | "allOf";

/** Identifies the objects of a class for other copies, with the functions that they call. */
export function publish(prototype: object, role: Role, functions: object = {}): void {
  const value = Object.freeze({ protocol: PROTOCOL, ...functions });
  Object.defineProperty(prototype, symbolOf(role), ownCopy({ value }));
}

/**
 * Returns what the copy that made `value` has published for it; undefined for any other object, a spread copy included.
 *
 * @param name - the name of the value in the error.
 * @throws TypeError if it is of another copy with another protocol.
 */
export function published(name: string, value: unknown, role: Role): object | undefined {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return undefined;
  const functions = (value as Readonly<Record<symbol, { readonly protocol: number } | undefined>>)[symbolOf(role)];
  if (functions === undefined || functions.protocol === PROTOCOL) return functions;
  const rule = `a ${role} of this copy of sluicegate, or of one with the same protocol (${PROTOCOL}): install one version`;
  throw typeError(name, rule, `a ${role} of another copy of sluicegate, protocol ${functions.protocol}`);
}

const COUNTER = Symbol.for("sluicegate.limiters");
let latest = 0;

/** The next number of a count that all copies share. Where `globalThis` is frozen, each copy counts for itself. */
export function nextInProcess(): number {
  const shared = globalThis as { readonly [COUNTER]?: number };
  latest = Math.max(latest, shared[COUNTER] ?? 0) + 1;
  // Not enumerable, so that tools that look for leaked globals do not report it.
  Reflect.defineProperty(globalThis, COUNTER, ownCopy({ value: latest, configurable: true }));
  return latest;
}

/** How many times {@link nextInProcess} has counted. */
export function countInProcess(): number {
  return (globalThis as { [COUNTER]?: number })[COUNTER] ?? 0;
}

function symbolOf(role: Role): symbol {
  return Symbol.for(`sluicegate.${role}`);
}
