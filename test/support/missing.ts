/**
 * Runs `check`, and returns `how` to install what is missing where it throws: the reason to skip the tests that need it.
 * With `CI=true` no test is skipped, and `how` is thrown instead.
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
