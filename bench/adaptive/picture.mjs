// The time series under the heaviest load, with a panel for each policy, as an SVG for light and dark pages.

const PANEL = { width: 720, height: 96, gap: 34, left: 72, top: 40 };
const BIN_MS = 250;
const COLORS = { good: "#2f9e64", late: "#d9822b", refused: "#9aa5b1", factor: "#3b6fd4", text: "#6b7280" };

export function picture(results, { capacity, goodMs }) {
  const heaviest = Math.max(...results.map(({ times }) => times));
  const shown = results.filter(({ times }) => times === heaviest);
  const height = PANEL.top + shown.length * (PANEL.height + PANEL.gap) + 24;
  const panels = shown.map((result, at) =>
    panel(result, PANEL.top + at * (PANEL.height + PANEL.gap), capacity, goodMs),
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${PANEL.left + PANEL.width + 20} ${height}" font-family="sans-serif" font-size="12">
<title>Responses over time of a service under ${heaviest} times its capacity</title>
${legend(goodMs)}
${panels.join("\n")}
</svg>
`;
}

function legend(goodMs) {
  const entries = [
    ["good", `answered within ${goodMs} ms`],
    ["late", "answered later, or never"],
    ["refused", "refused"],
    ["factor", "factor of the limit"],
  ];
  return entries
    .map(([name, text], at) => {
      const x = PANEL.left + at * 180;
      return `<rect x="${x}" y="8" width="12" height="12" fill="${COLORS[name]}"/><text x="${x + 18}" y="18" fill="${COLORS.text}">${text}</text>`;
    })
    .join("\n");
}

function panel({ policy, times, series }, top, capacity, goodMs) {
  const { startedAt, loadedAt, droppedAt, endedAt, answers, factors } = series;
  const bins = Array.from({ length: Math.ceil((endedAt - startedAt) / BIN_MS) }, () => ({
    good: 0,
    late: 0,
    refused: 0,
  }));
  for (const { dueAt, status, latencyMs } of answers) {
    const bin = bins[Math.floor((dueAt - startedAt) / BIN_MS)];
    if (bin !== undefined)
      bin[status === 503 ? "refused" : status === 200 && latencyMs <= goodMs ? "good" : "late"] += 1;
  }
  const most = times * capacity * (BIN_MS / 1000) * 1.25;
  const x = (atMs) => (PANEL.left + ((atMs - startedAt) / (endedAt - startedAt)) * PANEL.width).toFixed(1);
  const y = (count) => (top + PANEL.height - (Math.min(count, most) / most) * PANEL.height).toFixed(1);
  const area = (name, below) => {
    const points = bins.flatMap((bin, at) => {
      const sum = below.reduce((total, other) => total + bin[other], bin[name]);
      return [`${x(startedAt + at * BIN_MS)},${y(sum)}`, `${x(startedAt + (at + 1) * BIN_MS)},${y(sum)}`];
    });
    return `<polygon fill="${COLORS[name]}" points="${x(startedAt)},${y(0)} ${points.join(" ")} ${x(startedAt + bins.length * BIN_MS)},${y(0)}"/>`;
  };
  const line = factors
    .filter(({ atMs }) => atMs >= startedAt)
    .map(({ atMs, factor }) => `${x(atMs)},${(top + PANEL.height * (1 - factor)).toFixed(1)}`)
    .join(" ");
  const atCapacity = y(capacity * (BIN_MS / 1000));
  return `<g><text x="${PANEL.left}" y="${top - 6}" font-weight="bold" fill="${COLORS.text}">${policy}</text>
${area("refused", ["good", "late"])}
${area("late", ["good"])}
${area("good", [])}
<polyline fill="none" stroke="${COLORS.factor}" stroke-width="2" points="${line}"/>
<line x1="${PANEL.left}" x2="${PANEL.left + PANEL.width}" y1="${atCapacity}" y2="${atCapacity}" stroke="${COLORS.text}" stroke-dasharray="4 4"/>
<text x="${PANEL.left - 6}" y="${atCapacity}" text-anchor="end" fill="${COLORS.text}">capacity</text>
${[loadedAt, droppedAt].map((at) => `<line x1="${x(at)}" x2="${x(at)}" y1="${top}" y2="${top + PANEL.height}" stroke="${COLORS.text}"/>`).join("")}
<text x="${x(loadedAt)}" y="${top + PANEL.height + 14}" fill="${COLORS.text}">${times}x the capacity</text>
<text x="${x(droppedAt)}" y="${top + PANEL.height + 14}" fill="${COLORS.text}">half of it again</text></g>`;
}
