import type { ExecutionContext } from "@nestjs/common";
import { RequestMethod } from "@nestjs/common";
import { Reflector } from "@nestjs/core";
import type { Decision } from "../core/decision.js";
import { memberOf, typeError } from "../core/validate.js";
import type { NodeRequest, RequestView } from "../http/request-view.js";
import { nodeRequestView } from "../http/request-view.js";
import type { NodeResponse } from "../http/response-end.js";

/** The request of a context: of Express, of Fastify, or the handshake of a WebSocket. */
export interface NestRequest extends NodeRequest {
  /** The latest decision on this request; undefined or null if no limit applied. A handshake has none. */
  rateLimit?: Decision | null | undefined;
}

/** The response of a context, of Express, of Fastify or of Node. */
export interface NestResponse {
  getHeader(name: string): unknown;
  /** Express and Node. */
  setHeader?(name: string, value: string): unknown;
  /** Fastify. */
  header?(name: string, value: string): unknown;
  /** Fastify holds the response of Node here. */
  readonly raw?: unknown;
}

/** Returns the request of a context; undefined if the guard lets the call pass uncounted. */
export type RequestOf = (context: ExecutionContext) => NestRequest | undefined;

/**
 * Returns the request of a context, by the type of the context:
 *
 * - `"http"`: the request of Express or Fastify.
 * - `"graphql"`: `req` of the context of the resolver, or `reply.request`, which Mercurius has.
 * - `"ws"`: the handshake of Socket.IO; for `ws`, whose messages have no headers, only the socket.
 * - Any other type, such as `"rpc"`: undefined.
 *
 * @throws TypeError for a GraphQL context without a request.
 *
 * @example
 * forRoot({ limiter, key: (context) => clientKey(requestOf(context)!, { trustProxy: 1 }) })
 */
export function requestOf(context: ExecutionContext): NestRequest | undefined {
  switch (context.getType<string>()) {
    case "http":
      return context.switchToHttp().getRequest<NestRequest>();
    case "graphql": {
      const { req, reply } = graphqlContextOf(context);
      const request = req ?? memberOf(reply, "request");
      if (request !== undefined) return request as NestRequest;
      throw typeError("context.req", "the request, in the context of GraphQL (or set `requestOf`)", request);
    }
    case "ws":
      return handshakeOf(context.switchToWs().getClient());
    default:
      return undefined;
  }
}

/** Returns the response of a context, which gets the header fields; undefined if it has none. */
export function responseOf(context: ExecutionContext): NestResponse | undefined {
  switch (context.getType<string>()) {
    case "http":
      return context.switchToHttp().getResponse<NestResponse>();
    case "graphql": {
      const { req, res, reply } = graphqlContextOf(context);
      // Express holds the response in `req.res`.
      return (res ?? reply ?? memberOf(req, "res")) as NestResponse | undefined;
    }
    default:
      return undefined;
  }
}

/** Returns the response of Node behind that of the platform. */
export function nodeResponseOf(response: NestResponse): NodeResponse {
  return (memberOf(response, "raw") ?? response) as NodeResponse;
}

/** Returns the members of the context of GraphQL, the third argument of a resolver. */
function graphqlContextOf(context: ExecutionContext): Readonly<Record<"req" | "res" | "reply", unknown>> {
  const graphql = context.getArgByIndex<unknown>(2);
  const member = (name: string): unknown => memberOf(graphql, name) ?? undefined;
  return { req: member("req"), res: member("res"), reply: member("reply") };
}

function handshakeOf(client: unknown): NestRequest {
  // The address in the handshake of Socket.IO stays when the connection is closed.
  const handshake = memberOf(client, "handshake") as
    { readonly headers: NodeRequest["headers"]; readonly address: string } | undefined;
  return handshake === undefined
    ? { headers: {}, socket: memberOf(client, "_socket") as NodeRequest["socket"] }
    : { headers: handshake.headers, socket: { remoteAddress: handshake.address } };
}

/** The key of Nest's metadata for the HTTP method of a handler. */
const METHOD_METADATA = "method";

const reflector = new Reflector();

/** Returns a view of contexts whose request is found by `find`. Precondition: it finds one. */
export function viewBy(find: RequestOf): RequestView<ExecutionContext> {
  const of = (context: ExecutionContext): NodeRequest => find(context) as NodeRequest;
  const { method, header, address, isDisconnected, mayHaveUnannouncedBody, identity } = nodeRequestView;
  return {
    method: (context) => method(of(context)),
    header: (context, name) => header(of(context), name),
    address: (context) => address(of(context)),
    isDisconnected: (context) => isDisconnected(of(context)),
    mayHaveUnannouncedBody: (context) => mayHaveUnannouncedBody(of(context)),
    // A handler that is decorated with `@All`.
    isPlain: (context) => reflector.get<unknown>(METHOD_METADATA, context.getHandler()) === RequestMethod.ALL,
    identity: (context) => identity?.(of(context)) ?? "",
  };
}
