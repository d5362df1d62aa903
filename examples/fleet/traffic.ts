import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** One request and its response as a client saw them: an instance decided at some instant from `sentAt` to `receivedAt`. */
export interface Exchange {
  readonly user: string;
  readonly status: number;
  readonly source: string;
  readonly sentAt: number;
  readonly receivedAt: number;
}

/** Sends `perSecond` requests of one user, whatever the responses are, until `endsAt`. */
export async function traffic(
  user: string,
  perSecond: number,
  port: number,
  endsAt: number,
  exchanges: Exchange[],
): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  const sent: Promise<void>[] = [];
  for (let at = performance.now(); at < endsAt; at += 1000 / perSecond) {
    await sleep(at - performance.now());
    sent.push(send(user, port, agent).then((exchange) => void exchanges.push(exchange)));
  }
  await Promise.all(sent);
  agent.destroy();
}

async function send(user: string, port: number, agent: Agent): Promise<Exchange> {
  const sentAt = performance.now();
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, agent, headers: { "x-user": user } }, (response) => {
      const source = String(response.headers["x-source"] ?? "unknown");
      response.resume().on("end", () => {
        resolve({ user, status: response.statusCode ?? 0, source, sentAt, receivedAt: performance.now() });
      });
    });
    call.on("error", reject).end();
  });
}
