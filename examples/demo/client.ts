import { Agent, request } from "node:http";

/** One response as the client received it: the service decided at some instant between `sentAt` and `answeredAt`. */
export interface Answer {
  readonly client: string;
  readonly limit: "passwordReset" | "login" | "search";
  /** The key under which the service counts this call. */
  readonly key: string;
  readonly status: number;
  readonly retryAfter: number | undefined;
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** An HTTP client with its own address, if the machine has several on loopback. */
export class Client {
  readonly #agent: Agent;
  readonly #port: number;
  readonly #answers: Answer[];
  readonly name: string;
  readonly address: string;

  /** @param answers - receives each response. */
  constructor(name: string, address: string, port: number, answers: Answer[]) {
    this.name = name;
    this.address = address;
    this.#port = port;
    this.#answers = answers;
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

  #send(limit: Answer["limit"], key: string, method: string, path: string, body?: object): Promise<number> {
    return new Promise((resolve, reject) => {
      const sentAt = performance.now();
      const call = request({ host: "127.0.0.1", port: this.#port, method, path, agent: this.#agent }, (response) => {
        const { statusCode: status = 0, headers } = response;
        const retryAfter = headers["retry-after"] === undefined ? undefined : Number(headers["retry-after"]);
        response.resume().on("end", () => {
          const { name: client } = this;
          this.#answers.push({ client, limit, key, status, retryAfter, sentAt, answeredAt: performance.now() });
          resolve(status);
        });
      });
      call.on("error", reject).end(body && JSON.stringify(body));
    });
  }
}
