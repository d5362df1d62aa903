import type { Server, Agent } from "node:http";
import { request } from "node:http";
import type { AddressInfo } from "node:net";
import type { Decision } from "sluicegate";
import type { HttpOptions } from "sluicegate/http";

/** What a test's handler answers, whatever the framework. */
export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** The handler behind the limits. */
export type Handler = (path: string, decision: Decision | null | undefined) => Answer | Promise<Answer>;

/** The options of a framework that the suite does not know: it looks at requests through the rig. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- one suite for the requests of all frameworks
export type AnyOptions = HttpOptions<any, string, any>;

/** How the suite runs on one framework. */
export interface Rig {
  /** A field of the request that a framework hands to callbacks. */
  readonly header: (request: never, name: string) => string | undefined;
  /** Answers a refusal with a body, as somebody would in `onRefused`, in the framework's own way. */
  readonly answer: (request: never, body: string, rest: readonly never[]) => unknown;
  /** Serves an app with the limits in a chain and the handler behind them, on a free port. */
  readonly serve: (limits: readonly AnyOptions[], handler: Handler) => Promise<Served>;
}

export interface Served {
  readonly port: number;
  readonly close: () => Promise<void>;
}

/** Serves by a server of Node's. */
export async function served(server: Server): Promise<Served> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

export interface Got {
  readonly status: number;
  /** By names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

export interface Sent {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly agent?: Agent;
  readonly signal?: AbortSignal;
}

/** Sends a request over a real socket. */
export function send(port: number, { path = "/", ...rest }: Sent = {}): Promise<Got> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", port, path, agent: false, ...rest }, (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers as Got["headers"],
          body: Buffer.concat(chunks).toString(),
        });
      });
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}
