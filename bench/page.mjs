// The page of the documentation with the figures of `results.json`. `npm run bench` writes it; `node bench/page.mjs` prints it.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import prettier from "prettier";
import { median, rounded } from "./stats.mjs";

const NAMES = { floor: "a bare `Map.get`, clock and `await`" };
/** The peers that other runtimes are compared with. */
const ELSEWHERE = ["floor", "express-rate-limit", "rate-limiter-flexible", "@nestjs/throttler"];
const nameOf = (peer) => NAMES[peer] ?? peer;

const table = (head, rows) =>
  [head, head.map((_, at) => (at === 0 ? "---" : "---:")), ...rows]
    .map((cells) => `| ${cells.join(" | ")} |`)
    .join("\n");
const text = (lines) => `\`\`\`text\n${lines.join("\n").trim()}\n\`\`\``;

/** The time of sluicegate in a shape as a multiple of a peer's, in pairs of one run each. Empty where the peer does not have it. */
function ratio({ rows }, shape) {
  const { ns } = rows.find((row) => row.shape === shape) ?? {};
  return ns === undefined ? "" : String(rounded(median(ns[0].map((ours, round) => ours / ns[1][round])), 2));
}

/** Shapes in rows, peers in columns. */
function ratios(pairs) {
  const head = ["time of sluicegate as a multiple of", ...pairs.map(({ peer }) => nameOf(peer))];
  const shapes = pairs[0].rows.map(({ shape }) => shape);
  return table(
    head,
    shapes.map((shape) => [shape, ...pairs.map((pair) => ratio(pair, shape))]),
  );
}

export async function page(results) {
  const { machine, exactness, memory, heap, stalls, flood, http, redis, adaptive, sizes, runtimes } = results;
  const { cpu, cores, memoryGb, os, node, date } = machine;
  const kilobytes = (bytes) => (bytes / 1024).toFixed(1);
  const markdown = `# Benchmarks

<!-- bench/page.mjs writes this page from bench/results.json. -->

Measured on ${date} with Node ${node} on ${cores} cores of ${cpu}, ${memoryGb} GB, ${os}.
In a checkout, \`npm run bench\` measures all of it again in ten to twenty minutes, and writes [results.json](../bench/results.json) with the raw samples and the versions of the packages, the picture,
and this page. \`npm run bench -- --only memory,exactness\` measures some of it.

Trust the ratios and not the nanoseconds: each limiter is called as its users call it, in turns with sluicegate in one process, under
\`NODE_ENV=production\`. Ratios are medians. **Below 1, sluicegate is faster.**

![Time of a check, and the most calls that each limiter admits in any window](../bench/results.svg)

## How many calls does each limiter admit?

The most calls in any window, for a limit of ${exactness[0].limit}, found by searching for the worst arrivals.

${table(
  ["limiter", "calls at whole milliseconds", "calls at any time"],
  exactness.map(({ peer, whole, any }) => [nameOf(peer), whole.most, any.most]),
)}

## How long does a call take?

Each row is one kind of use: how many keys, whether the call is admitted, and the limit. An empty cell is a use that the package does not have.
The rows \`sync\` call \`checkSync\`, which creates a whole decision, with the status of each limit.

${ratios(memory)}

## How much memory does a key take?

${table(
  ["bytes for each key", ...Object.keys(heap[0].bytes).map((calls) => `${calls} ${calls === "1" ? "call" : "calls"}`)],
  heap.map(({ peer, bytes }) => [nameOf(peer), ...Object.values(bytes)]),
)}

## How long does it pause the process?

The longest pause in milliseconds while a million keys arrive, and while they expire.

${table(
  ["limiter", "arriving", "expiring"],
  stalls.map(({ peer, runs }) => [
    nameOf(peer),
    ...["arriving", "expiring"].map((when) => Math.round(median(runs.map((run) => run[when].delayMs)))),
  ]),
)}

## What happens under a flood of new keys?

${table(
  ["limiter", "after 12 s, or at the end"],
  flood.map(({ name, outcome }) => [nameOf(name), outcome.replace(/^not done in 12 s, after/, "")]),
)}

## How much does it slow a web framework?

\`npm run bench:http\`, with quartiles in parentheses:

${text(http)}

## How fast is Redis?

\`npm run bench:redis\`. A call that is alone is one run of a script on the server, so the round trip is most of it. Calls of one turn of
the event loop are one run together:

${text(redis)}

## What does an adaptive limit keep under overload?

\`npm run bench:adaptive\`. Goodput is the share of the capacity that is used for responses in time:

${text(adaptive)}

## How large is it?

${table(
  ["entry point", "KB minified", "KB gzipped"],
  sizes.map(({ name, minified, gzip }) => [
    name.startsWith(".") ? `\`sluicegate${name.slice(1)}\`` : `\`${name.replace(" alone", "\` alone")}`,
    kilobytes(minified),
    kilobytes(gzip),
  ]),
)}

## And on other runtimes?

\`npm run bench -- --runtimes\` runs three short rounds of each. They vary widely: read them as orders of magnitude.

${table(
  ["runtime", "use", ...ELSEWHERE.map(nameOf)],
  runtimes.flatMap(({ runtime, pairs }) =>
    pairs[0].rows.map(({ shape }) => [
      runtime,
      shape,
      ...ELSEWHERE.map((name) =>
        ratio(
          pairs.find(({ peer }) => peer === name),
          shape,
        ),
      ),
    ]),
  ),
)}

## What fails when it gets slower?

\`npm run bench:gate\` fails CI when calls become slower, or keys or the package larger. \`npm run soak -- --minutes 10\` compares millions of
decisions with a brute-force model while keys flood, clocks jump and calls are refunded.
`;
  return prettier.format(markdown, { parser: "markdown", printWidth: 120 });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(await page(JSON.parse(readFileSync(new URL("results.json", import.meta.url), "utf8"))));
}
