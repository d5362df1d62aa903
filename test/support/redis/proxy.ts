import { once } from "node:events";
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A TCP proxy in front of Redis, to be slow or to lose replies. */
export class Proxy {
  /** Milliseconds that each reply is held up. */
  delayMs = 0;
  /** Replies are thrown away: what was asked has been done, and nobody hears of it. */
  losesReplies = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
  }

  static async to(port: number): Promise<Proxy> {
    const server = createServer();
    const proxy = new Proxy(server);
    server.on("connection", (client) => {
      const redis = createConnection({ port, host: "127.0.0.1" });
      for (const socket of [client, redis]) {
        proxy.#sockets.add(socket);
        socket.on("error", () => undefined);
        socket.on("close", () => {
          proxy.#sockets.delete(socket);
          client.destroy();
          redis.destroy();
        });
      }
      client.on("data", (data) => redis.write(data));
      redis.on("data", (data) => {
        if (proxy.losesReplies) return;
        if (proxy.delayMs === 0) client.write(data);
        else setTimeout(() => client.destroyed || client.write(data), proxy.delayMs);
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
