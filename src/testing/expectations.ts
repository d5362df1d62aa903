import { display } from "../core/validate.js";

/** Present in all runtimes, but not declared by ES2022. */
declare function setTimeout(run: () => void, ms: number): unknown;
declare function clearTimeout(timer: unknown): void;

// Checks of values whose errors say what was expected, for code that runs in any test runner and on any runtime.

/**
 * Checks that `actual` has all that `expected` has: of an object the listed properties, of an array each element and no more.
 *
 * @param what - what the error calls the value: the code that it is the result of.
 * @throws Error that names the first part that differs.
 */
export function expectMatch(what: string, actual: unknown, expected: unknown): void {
  if (typeof expected !== "object" || expected === null) {
    expectThat(what, textOf(expected), actual, Object.is(actual, expected));
    return;
  }
  const isSameKind = typeof actual === "object" && actual !== null && Array.isArray(actual) === Array.isArray(expected);
  expectThat(what, textOf(expected), actual, isSameKind);
  const parts = actual as Readonly<Record<string, unknown>>;
  if (Array.isArray(expected)) expectMatch(`${what}.length`, parts["length"], expected.length);
  for (const [name, part] of Object.entries(expected)) {
    expectMatch(Array.isArray(expected) ? `${what}[${name}]` : `${what}.${name}`, parts[name], part);
  }
}

/** Checks that a value obeys a rule. @throws Error with the rule and the value. */
export function expectThat(what: string, rule: string, actual: unknown, holds: boolean): void {
  if (!holds) throw new Error(`Expected ${what} to be ${rule}, got ${textOf(actual)}`);
}

/** Checks that a promise rejects, and returns its reason. @throws Error if it resolves. */
export async function rejectionOf(what: string, promise: Promise<unknown>): Promise<unknown> {
  const outcome = await promise.then(
    (value) => ({ value, isRejected: false }),
    (reason: unknown) => ({ value: reason, isRejected: true }),
  );
  expectThat(what, "a promise that rejects", outcome.value, outcome.isRejected);
  return outcome.value;
}

/** Settles as `promise` does. @throws Error (as a rejection) after a minute: a waiter that no store wakes would wait for hours. */
export async function withinAMinute(what: string, promise: Promise<void>): Promise<void> {
  let timer: unknown;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`Expected ${what} to end within a minute`)), 60_000);
  });
  await Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function textOf(value: unknown): string {
  const isData = typeof value === "string" || (typeof value === "object" && !(value instanceof Error));
  return isData ? JSON.stringify(value) : display(value);
}
