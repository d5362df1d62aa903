// Speed and exactness of each limiter, as an SVG for light and dark pages.
import { median, rounded } from "./stats.mjs";

const LEFT = 150;
const ROW = 24;
const TOP = 58;
const SPEED = { x: LEFT, width: 250 };
const WORST = { x: LEFT + 330, width: 200 };
const COLORS = { us: "#2f9e64", peer: "#9aa5b1", floor: "#3b6fd4", over: "#d9822b", text: "#6b7280" };

const bar = (x, y, width, color) =>
  `<rect x="${x}" y="${y}" width="${width.toFixed(1)}" height="14" rx="2" fill="${color}"/>`;
const words = (x, y, text, more = "") => `<text x="${x}" y="${y}" fill="${COLORS.text}" ${more}>${text}</text>`;

/**
 * @param rows - `{ name, ns, times, worst, anyWorst }`: the time of a call as a multiple of sluicegate's, and the most
 *   calls in a window. Both may be absent.
 */
export function picture(rows, { shape, limit }) {
  const height = TOP + rows.length * ROW + 40;
  // A log scale, because the slowest limiter would leave no room for the others.
  const most = Math.max(...rows.map(({ times = 1 }) => times));
  const least = Math.min(...rows.map(({ times = 1 }) => times)) / 2;
  const length = (times) => (Math.log(times / least) / Math.log(most / least)) * SPEED.width;
  const line = ({ name, times, worst }, at) => {
    const y = TOP + at * ROW;
    const color = name === "sluicegate" ? COLORS.us : name === "floor" ? COLORS.floor : COLORS.peer;
    const parts = [
      words(LEFT - 8, y + 11, name, `text-anchor="end"${name === "sluicegate" ? ' font-weight="bold"' : ""}`),
    ];
    if (times === undefined) parts.push(words(SPEED.x, y + 11, "no keys"));
    else {
      parts.push(
        bar(SPEED.x, y, length(times), color),
        words((SPEED.x + length(times) + 6).toFixed(1), y + 11, rounded(times, 2)),
      );
    }
    if (worst !== undefined) {
      const width = (count) => (count / (2 * limit)) * WORST.width;
      parts.push(bar(WORST.x, y, width(Math.min(worst, limit)), color));
      if (worst > limit) parts.push(bar(WORST.x + width(limit), y, width(worst - limit), COLORS.over));
      parts.push(words(WORST.x + width(worst) + 6, y + 11, worst));
    }
    return parts.join("");
  };
  const atLimit = WORST.x + WORST.width / 2;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WORST.x + WORST.width + 50} ${height}" font-family="sans-serif" font-size="12">
<title>Time of a check, and the most calls admitted in any window, for each limiter</title>
${words(SPEED.x, 20, "time of a check, in checks of sluicegate", 'font-weight="bold"')}
${words(SPEED.x, 36, `${shape}, on a log scale`)}
${words(WORST.x, 20, "most calls admitted in any window", 'font-weight="bold"')}
${words(WORST.x, 36, `for a limit of ${limit}; orange: too many`)}
${rows.map(line).join("\n")}
<line x1="${atLimit}" x2="${atLimit}" y1="${TOP - 8}" y2="${TOP + rows.length * ROW}" stroke="${COLORS.text}" stroke-dasharray="4 4"/>
${words(LEFT, height - 14, "floor: a clock read, a Map.get and an awaited call, without any limit")}
</svg>
`;
}

/** The rows of the picture and of the table with the same data. */
export function rowsOf({ memory = [], exactness = [] }, shape) {
  const names = [
    ...new Set(["floor", "sluicegate", ...memory.map(({ peer }) => peer), ...exactness.map(({ peer }) => peer)]),
  ];
  return names.map((name) => {
    const ns = memory.find(({ peer }) => peer === name)?.rows.find((row) => row.shape === shape)?.ns;
    const counted = exactness.find(({ peer }) => peer === name);
    return {
      name,
      times: name === "sluicegate" ? 1 : ns && median(ns[1].map((theirs, round) => theirs / ns[0][round])),
      worst: counted?.whole.most,
      anyWorst: counted?.any.most,
    };
  });
}
