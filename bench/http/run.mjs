// The cost of a limiter in a web service: the same app without a limiter, with sluicegate and with a peer, in turns:
// `npm run bench:http`. `--short` runs less of it, for `npm run bench`.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import autocannon from "autocannon";

const SERVER = fileURLToPath(new URL("server.mjs", import.meta.url));
const PEERS = { express: "express-rate-limit", fastify: "@fastify/rate-limit", hono: "hono-rate-limiter" };
const isShort = process.argv.includes("--short");
const [only] = process.argv.slice(2).filter((argument) => !argument.startsWith("--"));
/** Processes of each kind, one after another, because some processes are faster than others for their whole life. */
const PROCESSES = isShort ? 1 : 3;
const ROUNDS = isShort ? 3 : 4;
const SECONDS = isShort ? 1 : 2;
const CLIENTS = Array.from({ length: 1000 }, (_, at) => ({ headers: { "x-client": `client-${at}` } }));

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const percent = (ratio) => `${(100 * ratio).toFixed(0)}%`;
const spread = (ratios) =>
  `${percent(median(ratios))} (${percent(Math.min(...ratios))}..${percent(Math.max(...ratios))})`;

async function start(framework, limiter) {
  const child = fork(SERVER, [framework, limiter], { env: { ...process.env, NODE_ENV: "production" } });
  const [{ port }] = await once(child, "message");
  const cpuUs = async () => {
    const answer = once(child, "message");
    child.send("cpu");
    return (await answer)[0].cpuUs;
  };
  const run = async (duration) => {
    const before = await cpuUs();
    const { requests, non2xx, errors } = await autocannon({
      url: `http://127.0.0.1:${port}`,
      connections: 50,
      duration,
      requests: CLIENTS,
    });
    if (non2xx + errors > 0) throw new Error(`${limiter} on ${framework}: ${non2xx} refused, ${errors} failed`);
    return { rate: requests.average, cpuUs: ((await cpuUs()) - before) / requests.total };
  };
  return { run, stop: () => child.kill() };
}

console.log("app      limiter              requests/s   CPU/request   of the plain app's rate   of the peer's rate");
for (const [framework, peer] of Object.entries(PEERS)) {
  if (only !== undefined && only !== framework) continue;
  const limiters = ["none", "sluicegate", peer];
  const runs = limiters.map(() => []);
  for (let life = 0; life < PROCESSES; life += 1) {
    const servers = [];
    for (const limiter of limiters) servers.push(await start(framework, limiter));
    for (const { run } of servers) await run(1);
    for (let round = 0; round < ROUNDS; round += 1) {
      // The order rotates, because the speed of the machine varies.
      for (let turn = 0; turn < limiters.length; turn += 1) {
        const at = (round + turn) % limiters.length;
        runs[at].push(await servers[at].run(SECONDS));
      }
    }
    for (const { stop } of servers) stop();
  }
  const ratios = (at, other) => runs[at].map(({ rate }, round) => rate / runs[other][round].rate);
  for (const [at, limiter] of limiters.entries()) {
    console.log(
      framework.padEnd(8),
      limiter.padEnd(20),
      median(runs[at].map(({ rate }) => rate))
        .toFixed(0)
        .padStart(10),
      `${median(runs[at].map(({ cpuUs }) => cpuUs)).toFixed(1)} us`.padStart(13),
      "  ",
      (at === 0 ? "" : spread(ratios(at, 0))).padEnd(24),
      at === 1 ? spread(ratios(1, 2)) : "",
    );
  }
}
