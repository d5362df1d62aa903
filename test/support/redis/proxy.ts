import { once } from "node:events";
import { createConnection, createServer, type AddressInfo, type Server, type Socket } from "node:net";

/** A TCP proxy in front of Redis that can delay or drop replies. */
export class Proxy {
  /** The delay of each reply in milliseconds. */
  delayMs = 0;
  /** Whether replies are dropped. Redis still runs the commands. */
  dropsReplies = false;
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
        if (proxy.dropsReplies) return;
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
