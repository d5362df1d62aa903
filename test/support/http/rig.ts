import { once } from "node:events";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { Agent, createServer, request } from "node:http";
import type { ClientHttp2Session, ClientHttp2Stream, Http2Server } from "node:http2";
import { connect, constants, createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Socket } from "node:net";
import { connect as connectSocket } from "node:net";
import type { Decision } from "sluicegate";
import type { HttpOptions } from "sluicegate/http";

/** The response of a test's handler, for any framework. */
export interface HandlerResponse {
  readonly status: number;
  readonly body: string;
}

/** The handler behind the limits. */
export type Handler = (
  path: string,
  decision: Decision | null | undefined,
) => HandlerResponse | Promise<HandlerResponse>;

/** The version of HTTP between the client and the server, without TLS. */
export type Protocol = "HTTP/1.1" | "HTTP/2";

/** The options of any framework: the suite reads requests through the rig. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- one suite for the requests of all frameworks
export type AnyOptions = HttpOptions<any, string, any>;

/** The access of the suite to one framework. */
export interface Rig {
  /** A field of the request that a framework passes to callbacks. */
  readonly header: (request: never, name: string) => string | undefined;
  /** Sends the response of a refusal from `onRefused`, with the means of the framework. */
  readonly respond: (request: never, body: string, rest: readonly never[]) => unknown;
  /**
   * Serves an app with the limits in a chain and the handler behind them, on a free port.
   *
   * @param before - the fields that a middleware before the limits sets on every response, such as one for CORS. On fetch, which
   *   has no such middleware, the handler sets them.
   */
  readonly serve: (
    limits: readonly AnyOptions[],
    handler: Handler,
    protocol: Protocol,
    before?: Readonly<Record<string, string>>,
  ) => Promise<Served>;
  /** Whether the handler receives `OPTIONS`, because no router selects by method. */
  readonly isPlain?: boolean;
}

export interface Served {
  readonly port: number;
  /** Closes all connections, as a server does when it stops. */
  readonly disconnect: () => void;
  readonly close: () => Promise<void>;
}

/** Creates a server of Node for a protocol. The listener receives objects that are compatible with node:http. */
export function createServerFor(
  protocol: Protocol,
  listener: (request: IncomingMessage, response: ServerResponse) => unknown,
): Server | Http2Server {
  return protocol === "HTTP/1.1" ? createServer(listener) : createHttp2Server(listener as never);
}

/** Listens on a free port. */
export async function served(server: Server | Http2Server): Promise<Served> {
  const disconnect = disconnecter(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    disconnect,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        disconnect();
      }),
  };
}

/** Returns a function that closes all connections of a server of either protocol. */
export function disconnecter(server: Server | Http2Server): () => void {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  return () => {
    for (const socket of sockets) socket.destroy();
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
  readonly body?: string;
  readonly signal?: AbortSignal;
}

/** A client with persistent connections. */
export interface Client {
  readonly send: (sent?: Sent) => Promise<Got>;
  readonly close: () => void;
}

/** @param maxSockets - how many connections over HTTP/1.1; over HTTP/2, all requests share one. */
export function clientOf(protocol: Protocol, port: number, maxSockets: number): Client {
  if (protocol === "HTTP/1.1") {
    const agent = new Agent({ keepAlive: true, maxSockets });
    return { send: (sent) => sendByAgent(port, agent, sent), close: () => agent.destroy() };
  }
  const session = openSession(port);
  return { send: (sent) => sendInSession(session, sent), close: () => session.close() };
}

/** Sends a request over a connection of its own. */
export async function send(port: number, sent: Sent = {}, protocol: Protocol = "HTTP/1.1"): Promise<Got> {
  if (protocol === "HTTP/1.1") return sendByAgent(port, false, sent);
  const session = openSession(port);
  try {
    return await sendInSession(session, sent);
  } finally {
    session.close();
  }
}

/** Connects over HTTP/2. A failure of the connection rejects the requests only. */
export function openSession(port: number, socket: Socket = connectSocket(port, "127.0.0.1")): ClientHttp2Session {
  const session = connect(`http://127.0.0.1:${port}`, { createConnection: () => socket });
  session.on("error", () => undefined);
  return session;
}

function sendByAgent(
  port: number,
  agent: Agent | false,
  { path = "/", headers, body, ...rest }: Sent = {},
): Promise<Got> {
  return new Promise((resolve, reject) => {
    // HTTP/1.1 needs the length of a body, which Node's client does not send for some methods.
    const announced = { ...headers, ...(body !== undefined && { "content-length": String(body.length) }) };
    const options = { host: "127.0.0.1", port, path, agent, headers: announced, ...rest };
    const outgoing = request(options, (response) => {
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
    outgoing.end(body);
  });
}

function sendInSession(
  session: ClientHttp2Session,
  { path = "/", method = "GET", headers, body, signal }: Sent = {},
): Promise<Got> {
  return new Promise((resolve, reject) => {
    const outgoing = { ...headers, ":path": path, ":method": method };
    const stream = session.request(outgoing, { endStream: body === undefined, ...(signal && { signal }) });
    let got: Pick<Got, "status" | "headers"> | undefined;
    const chunks: Buffer[] = [];
    stream.on("response", (incoming) => {
      got = { status: incoming[":status"] ?? 0, headers: incoming as Got["headers"] };
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("close", () => {
      // A stream that was cut without an error code emits no error.
      if (got === undefined || stream.rstCode !== constants.NGHTTP2_NO_ERROR) reject(new Error("aborted"));
      else resolve({ ...got, body: Buffer.concat(chunks).toString() });
    });
    if (body !== undefined) stream.end(body);
  });
}

/** A request that can be aborted at any moment. */
export interface Open {
  readonly socket: Socket;
  /** Over HTTP/2. */
  readonly session: ClientHttp2Session | undefined;
  readonly stream: ClientHttp2Stream | undefined;
  /** Resolves when the headers of the response have arrived. Nothing is read after them. */
  readonly responded: Promise<unknown>;
}

/** Sends a request and leaves it open: a body that is shorter than its `content-length` is not completed. */
export async function openRequest(protocol: Protocol, port: number, sent: Sent): Promise<Open> {
  const { path = "/", method = "GET", headers = {}, body = "" } = sent;
  const socket = connectSocket(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  if (protocol === "HTTP/1.1") {
    const fields = Object.entries({ host: "localhost", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`${method} ${path} HTTP/1.1\r\n${fields.join("")}\r\n${body}`);
    const responded = new Promise<void>((resolve) => {
      socket.once("data", () => {
        socket.pause();
        resolve();
      });
    });
    return { socket, session: undefined, stream: undefined, responded };
  }
  const session = openSession(port, socket);
  const stream = session.request({ ...headers, ":path": path, ":method": method }, { endStream: body === "" });
  stream.on("error", () => undefined);
  if (body !== "") stream.write(body);
  return { socket, session, stream, responded: once(stream, "response") };
}

/** The ways in which a client can disconnect. */
export const HANG_UPS: Readonly<Record<Protocol, Readonly<Record<string, (open: Open) => unknown>>>> = {
  "HTTP/1.1": {
    close: ({ socket }) => socket.destroy(),
    reset: ({ socket }) => socket.resetAndDestroy(),
  },
  "HTTP/2": {
    "rst-cancel": ({ stream }) => stream?.close(constants.NGHTTP2_CANCEL),
    "rst-no-error": ({ stream }) => stream?.close(constants.NGHTTP2_NO_ERROR),
    "destroy-session": ({ session }) => session?.destroy(),
    goaway: ({ session }) => session?.goaway(constants.NGHTTP2_INTERNAL_ERROR),
    close: ({ socket }) => socket.destroy(),
    reset: ({ socket }) => socket.resetAndDestroy(),
  },
};
