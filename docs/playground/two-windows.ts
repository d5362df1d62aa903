import { fixedWindow, type Limit, PATTERNS, simulate, sluicegate } from "./simulation.js";
import { boundaries, cells, scaleFor, seconds, toX, windowSpan } from "./timeline.js";

const MARGIN = 28;
/** The width of the texts on the left, and of the plot: a period is 500 pixels wide, and a call 5. */
const TEXT = 224;
const PLOT = 625;
const WIDTH = MARGIN + TEXT + PLOT + MARGIN;
const LIMIT: Limit = { maxCalls: 100, periodMs: 60_000 };

/** The picture of the README: the edge burst at a fixed window and at sluicegate, as the text of an SVG file. */
export function twoWindows(): string {
  const arrivalsMs = PATTERNS.edge(LIMIT);
  const results = [fixedWindow, sluicegate].map((algorithm) => simulate(algorithm, arrivalsMs, LIMIT));
  const scale = scaleFor(results, arrivalsMs, LIMIT, PLOT);
  const restarts = boundaries(LIMIT, scale).map((ms) => ({ x: Math.round(toX(scale, ms)), label: seconds(ms) }));

  let top = 94;
  const lanes = results.map(({ algorithm, admittedMs, refusedMs, worst }) => {
    const isOver = worst.calls > LIMIT.maxCalls;
    const { left, right } = windowSpan(worst, LIMIT, scale);
    const [from, to] = [Math.round(left), Math.round(right)];
    const line = top + 22 + Math.ceil(scale.admittedPx);
    const lane = `
  <g class="${isOver ? "over" : "within"}">
    <text class="name" x="${-TEXT}" y="${line - 46}">${isOver ? "Fixed-window counter" : algorithm.name}</text>
    <text y="${line - 6}"><tspan class="number" x="${-TEXT}">${worst.calls}</tspan><tspan class="word" dx="8">admitted ${isOver ? "✕" : "✓"}</tspan></text>
    <text class="bracket-text" x="${(from + to) / 2}" y="${top}">${worst.calls} in one window of ${LIMIT.periodMs / 1000} s</text>
    <path class="bracket" d="M${from} ${top + 17}V${top + 9}H${to}V${top + 17}"/>
    <path class="line" d="M0 ${line + 0.5}H${PLOT}"/>
    <path class="admitted" transform="translate(0 ${line - 1})" d="${cells(admittedMs, scale, -1)}"/>
    <path class="refused" transform="translate(0 ${line + 2})" d="${cells(refusedMs, scale, 1)}"/>${
      refusedMs.length === 0
        ? ""
        : `
    <text class="note" x="${Math.round(toX(scale, refusedMs.at(-1) ?? 0)) + 16}" y="${line + 32}">${refusedMs.length} refused</text>`
    }
  </g>`;
    top = line + (refusedMs.length === 0 ? 52 : Math.ceil(scale.refusedPx) + 14);
    return lane;
  });

  const height = top + 40;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="title">
  <title id="title">The limit is 100 calls in 60 seconds, and 200 calls arrive. A fixed-window counter admits 200 of them in one window, sluicegate 100.</title>
  <style>
    svg { --text: #27272a; --muted: #63636b; --back: #fff; --edge: #d9d9de; --over: #c2410c; --within: #18794e }
    @media (prefers-color-scheme: dark) {
      svg { --text: #ececf0; --muted: #a1a1aa; --back: #18181b; --edge: #3f3f46; --over: #fb923c; --within: #4ade80 }
    }
    text { font: 15px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: var(--text) }
    .back { fill: var(--back); stroke: var(--edge) }
    .title { font-size: 20px; font-weight: 600 }
    .name { font-size: 17px; font-weight: 600 }
    .number { font-size: 36px; font-weight: 700 }
    .word { font-size: 17px; font-weight: 600 }
    .note, .tick { fill: var(--muted) }
    .bracket-text, .tick { text-anchor: middle; stroke: var(--back); stroke-width: 8px; paint-order: stroke }
    .bracket { fill: none; stroke-width: 2 }
    .over .bracket { stroke: var(--over) }
    .within .bracket { stroke: var(--within) }
    .over .bracket-text, .over .number, .over .word { fill: var(--over) }
    .within .bracket-text, .within .number, .within .word { fill: var(--within) }
    .line { stroke: var(--muted) }
    .admitted { fill: var(--text) }
    .refused { fill: none; stroke: var(--muted) }
    .restart { stroke: var(--muted); stroke-dasharray: 4 4 }
  </style>
  <rect class="back" x=".5" y=".5" width="${WIDTH - 1}" height="${height - 1}" rx="12"/>
  <g transform="translate(${MARGIN + TEXT} 0)">
  <text class="title" x="${-TEXT}" y="38">Limit: ${LIMIT.maxCalls} calls in ${LIMIT.periodMs / 1000} s</text>
  <text class="note" x="${PLOT}" y="38" text-anchor="end">${arrivalsMs.length} calls arrive in ${LIMIT.periodMs / 5000} s</text>${restarts
    .map(
      ({ x, label }) => `
  <path class="restart" d="M${x} 103V${top}"/>
  <text class="tick" x="${x}" y="${top + 20}">${label}: the counter starts again at 0</text>`,
    )
    .join("")}${lanes.join("")}
  </g>
</svg>
`;
}
