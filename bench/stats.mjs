// Summaries of samples: median and spread.

export const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** A median with the quartiles around it. */
export function summary(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  return { median: at(0.5), low: at(0.25), high: at(0.75) };
}

export const rounded = (value, digits = 3) => Number(value.toPrecision(digits));

/** A ratio with its quartiles: `1.23 (1.20..1.27)`. */
export function spread(values) {
  const { median: middle, low, high } = summary(values);
  return `${rounded(middle)} (${rounded(low)}..${rounded(high)})`;
}

/** A text table. The first column is aligned left, the others right. */
export function table(head, rows) {
  const widths = head.map((name, at) => Math.max(...[name, ...rows.map((row) => row[at])].map((cell) => cell.length)));
  const line = (row) =>
    row.map((cell, at) => (at === 0 ? cell.padEnd(widths[at]) : cell.padStart(widths[at]))).join("   ");
  return [head, ...rows].map((row) => line(row).trimEnd()).join("\n");
}
