// A service that spends 2 ms of processor time on each admitted request, in a separate process.
import { createServer } from "node:http";
import { performance } from "node:perf_hooks";
import { POLICIES } from "./policies.mjs";

const [policy, baseMaxCalls] = process.argv.slice(2);
const { admits, factor } = POLICIES[policy](Number(baseMaxCalls));

const server = createServer(async (request, response) => {
  if (request.url === "/connect") {
    setTimeout(() => response.end(), 1000);
    return;
  }
  if (!(await admits())) {
    response.writeHead(503, { "Content-Type": "text/plain" }).end("Busy\n");
    return;
  }
  const until = performance.now() + 2;
  while (performance.now() < until);
  response.writeHead(200, { "Content-Type": "text/plain" }).end("Done\n");
});
server.keepAliveTimeout = 60_000;
server.listen(0, "127.0.0.1", 4096, () => process.send({ port: server.address().port }));

setInterval(() => process.send({ factor: factor() }), 100).unref();
process.on("message", () => process.exit());
