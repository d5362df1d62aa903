import { Agent, createServer, request, type Server } from "node:http";

/** Passes requests to the instances in turn, and returns their responses; 502 if an instance fails. */
export function balancerOver(ports: readonly number[]): Server {
  const agent = new Agent({ keepAlive: true });
  let next = 0;
  const server = createServer(({ headers }, response) => {
    const port = ports[(next += 1) % ports.length];
    request({ host: "127.0.0.1", port, headers: { "x-user": headers["x-user"] ?? "" }, agent }, (received) => {
      response.writeHead(received.statusCode ?? 502, received.headers);
      received.pipe(response);
    })
      .on("error", () => response.writeHead(502).end())
      .end();
  });
  return server.on("close", () => agent.destroy());
}
