// The hono app on the server of a runtime. Usage: RUNTIME hono.mjs
import { app } from "./hono-app.mjs";
import { CLIENTS, conformHttp } from "./http.mjs";

const { Bun, Deno } = globalThis;

async function serve({ fetch }) {
  const options = { hostname: "127.0.0.1", port: 0 };
  if (Bun !== undefined) return Bun.serve({ ...options, fetch }).port;
  if (Deno !== undefined) return Deno.serve({ ...options, onListen: () => undefined }, fetch).addr.port;
  const node = await import("@hono/node-server");
  return new Promise((resolve) => node.serve({ ...options, fetch }, ({ port }) => resolve(port)));
}

const port = await serve(app);
const send = (path) => (headers) => fetch(`http://127.0.0.1:${port}${path}`, { headers });
const bySocket = await conformHttp(send("/socket"), [{}]);
const byHeader = await conformHttp(send("/header"), CLIENTS);
console.log(
  JSON.stringify({
    checks: bySocket.checks + byHeader.checks,
    failures: [...bySocket.failures, ...byHeader.failures],
  }),
);
(Deno ?? globalThis.process).exit();
