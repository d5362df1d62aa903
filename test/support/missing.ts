/**
 * Returns `how`, the reason to skip tests, if `check` throws because a program is missing. With `CI=true` no test is skipped, and
 * `how` is thrown.
 */
export function missing(how: string, check: () => void): string | undefined {
  try {
    check();
    return undefined;
  } catch {
    if (process.env["CI"] === "true") throw new Error(how);
    console.warn(`skipped: ${how}`);
    return how;
  }
}
