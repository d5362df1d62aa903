import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Redis } from "ioredis";

/**
 * The REST protocol of Upstash in front of a real Redis: the client posts a command as a JSON array, or several to `/pipeline`. Strings
 * in replies are in base64 if the client requests it.
 *
 * @see {@link https://upstash.com/docs/redis/features/restapi | Upstash: REST API}
 */
export class UpstashStandIn {
  static readonly token = "a-token";
  readonly #server: Server;
  readonly #redis: Redis;

  private constructor(server: Server, redis: Redis) {
    this.#server = server;
    this.#redis = redis;
  }

  static async before(port: number): Promise<UpstashStandIn> {
    const redis = new Redis(port, "127.0.0.1");
    const server = createServer((request, response) => void reply(request, response));
    const reply = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      if (request.headers.authorization !== `Bearer ${this.token}`)
        return respond(response, 401, { error: "WRONGPASS" });
      const encode = request.headers["upstash-encoding"] === "base64" ? inBase64 : (reply: unknown) => reply;
      const body = await readJson(request);
      const run = async ([name, ...words]: string[]): Promise<{ result: unknown } | { error: string }> => {
        try {
          return { result: encode(await redis.call(String(name), ...words.map(String))) };
        } catch (error) {
          return { error: (error as Error).message };
        }
      };
      if (request.url === "/pipeline") return respond(response, 200, await Promise.all((body as string[][]).map(run)));
      const outcome = await run(body as string[]);
      return respond(response, "error" in outcome ? 400 : 200, outcome);
    };
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new UpstashStandIn(server, redis);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
    this.#redis.disconnect();
  }
}

function inBase64(reply: unknown): unknown {
  if (Array.isArray(reply)) return reply.map(inBase64);
  return typeof reply === "string" && reply !== "OK" ? Buffer.from(reply).toString("base64") : reply;
}

async function readJson(body: AsyncIterable<Buffer>): Promise<unknown> {
  const chunks: Buffer[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString());
}

function respond(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
