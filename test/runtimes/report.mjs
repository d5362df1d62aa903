/** Collects the results of checks: how many there were, and one line for each failure. */
export function makeReport() {
  const result = { checks: 0, failures: [] };
  const is = (what, actual, expected) => {
    result.checks += 1;
    const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
    if (left !== right) result.failures.push(`${what}: expected ${right}, got ${left}`);
  };
  return { is, result };
}
