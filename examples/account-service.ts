import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { AsyncRateLimiter, type Decision, MemoryStore, RATE_LIMITS, RateLimitExceededError } from "sluicegate";

/** The limits of the endpoints. */
export const LIMITS = {
  passwordReset: RATE_LIMITS.passwordReset, // 3 per hour for each e-mail address
  login: RATE_LIMITS.login, // 5 failures per 5 minutes for each client and account
  search: { maxCalls: 10, period: "2s" }, // for each client
} as const;

/** The parts of the application that this service uses. */
export interface Accounts {
  verifyPassword(email: string, password: string): Promise<boolean>;
  sendPasswordReset(email: string): Promise<void>;
}

/**
 * Builds one key from several parts. Joined with a separator, `("a", "b:c")` and `("a:b", "c")` would be the same key; as JSON
 * they differ.
 */
export const keyOf = (...parts: string[]): string => JSON.stringify(parts);

/** An HTTP service with three endpoints, each with its own limiter. */
export function createAccountService(accounts: Accounts): Server {
  const store = new MemoryStore({ maxKeys: 100_000 });
  const resets = new AsyncRateLimiter({ ...LIMITS.passwordReset, name: "password-reset", store });
  const logins = new AsyncRateLimiter({ ...LIMITS.login, name: "login", store });
  const searches = new AsyncRateLimiter({ ...LIMITS.search, name: "search", store });

  async function passwordReset(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { email } = await readForm(request, "email");
    const decision = await resets.check(email);
    if (!decision.allowed) return refuse(response, decision);
    await accounts.sendPasswordReset(email);
    send(response, 202, { sent: true });
  }

  async function login(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { email, password } = await readForm(request, "email", "password");
    // Count the attempt before the password is verified: of many concurrent guesses, only five are verified.
    const decision = await logins.check(keyOf(clientOf(request), email));
    if (!decision.allowed) return refuse(response, decision);
    if (!(await accounts.verifyPassword(email, password))) return send(response, 401, { error: "Wrong password" });
    // Count failures only.
    await logins.refund(decision);
    send(response, 200, { welcome: email });
  }

  async function search(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const decision = await searches.check(clientOf(request));
    if (!decision.allowed) return refuse(response, decision);
    send(response, 200, { results: [] });
  }

  const routes: Record<string, (request: IncomingMessage, response: ServerResponse) => Promise<void>> = {
    "POST /password-reset": passwordReset,
    "POST /login": login,
    "GET /search": search,
  };

  return createServer((request, response) => {
    const [path = ""] = (request.url ?? "").split("?");
    const route = `${request.method ?? ""} ${path}`;
    const handler = Object.hasOwn(routes, route) ? routes[route] : undefined;
    if (handler === undefined) {
      send(response, 404, { error: "Not found" });
      return;
    }
    handler(request, response).catch((error: unknown) => {
      const badRequest = error instanceof BadRequest;
      if (!badRequest) console.error(error);
      send(response, badRequest ? 400 : 500, { error: badRequest ? error.message : "Internal error" });
    });
  });
}

/** The address of the connection. Behind a proxy, use the address that the proxy reports instead. */
function clientOf(request: IncomingMessage): string {
  return request.socket.remoteAddress ?? "unknown";
}

function refuse(response: ServerResponse, decision: Decision): void {
  // Never more than the window, in whole seconds. `Infinity` means that no wait helps.
  const { retryAfter } = new RateLimitExceededError(decision);
  if (retryAfter !== Infinity) response.setHeader("Retry-After", retryAfter);
  response.setHeader("Cache-Control", "no-store");
  send(response, 429, { error: decision.reason });
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
}

class BadRequest extends Error {}

const LARGEST_FORM = 10_000;
/** The longest e-mail address, in characters (RFC 5321). The address becomes a key, so its length is bounded. */
const LONGEST_ADDRESS = 254;

/** Reads the named fields of a JSON body, in lower case where they are addresses, or throws a BadRequest. */
async function readForm<Name extends string>(
  request: IncomingMessage,
  ...names: readonly Name[]
): Promise<Record<Name, string>> {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += String(chunk);
    if (text.length > LARGEST_FORM) throw new BadRequest("Body too large");
  }
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    throw new BadRequest("Expected a JSON object");
  }
  const fields = names.map((name): [Name, string] => {
    const value = (body as Record<string, unknown> | null)?.[name];
    if (typeof value !== "string") throw new BadRequest(`Expected \`${name}\` to be a string`);
    if (name !== "email") return [name, value];
    // Normalize the address, so that one account has one key.
    const address = value.trim().toLowerCase();
    if (address.length > LONGEST_ADDRESS) throw new BadRequest("Expected `email` to be an address");
    return [name, address];
  });
  return Object.fromEntries(fields) as Record<Name, string>;
}
