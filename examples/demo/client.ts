import { Agent, request } from "node:http";

/** One request and its response as the client saw them: the service decided at some instant from `sentAt` to `receivedAt`. */
export interface Exchange {
  readonly client: string;
  readonly limit: "passwordReset" | "login" | "search";
  /** The key under which the service counts this call. */
  readonly key: string;
  readonly status: number;
  readonly retryAfter: number | undefined;
  readonly sentAt: number;
  readonly receivedAt: number;
}

/** An HTTP client with its own address, if the machine has several on loopback. */
export class Client {
  readonly #agent: Agent;
  readonly #port: number;
  readonly #exchanges: Exchange[];
  readonly name: string;
  readonly address: string;

  /** @param exchanges - receives each request with its response. */
  constructor(name: string, address: string, port: number, exchanges: Exchange[]) {
    this.name = name;
    this.address = address;
    this.#port = port;
    this.#exchanges = exchanges;
    this.#agent = new Agent({ keepAlive: true, localAddress: address });
  }

  resetPassword(email: string): Promise<number> {
    return this.#send("passwordReset", email.trim().toLowerCase(), "POST", "/password-reset", { email });
  }

  login(email: string, password: string): Promise<number> {
    return this.#send("login", `${this.address} ${email}`, "POST", "/login", { email, password });
  }

  search(words: string): Promise<number> {
    return this.#send("search", this.address, "GET", `/search?q=${encodeURIComponent(words)}`);
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(limit: Exchange["limit"], key: string, method: string, path: string, body?: object): Promise<number> {
    return new Promise((resolve, reject) => {
      const sentAt = performance.now();
      const call = request({ host: "127.0.0.1", port: this.#port, method, path, agent: this.#agent }, (response) => {
        const { statusCode: status = 0, headers } = response;
        const retryAfter = headers["retry-after"] === undefined ? undefined : Number(headers["retry-after"]);
        response.resume().on("end", () => {
          const { name: client } = this;
          this.#exchanges.push({ client, limit, key, status, retryAfter, sentAt, receivedAt: performance.now() });
          resolve(status);
        });
      });
      call.on("error", reject).end(body && JSON.stringify(body));
    });
  }
}
