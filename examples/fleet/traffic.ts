import { Agent, request } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

/** One response as a client received it: the service decided at some instant between `sentAt` and `answeredAt`. */
export interface Answer {
  readonly user: string;
  readonly status: number;
  readonly answeredBy: string;
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** Sends `perSecond` requests of one user, whatever the responses are, until `endsAt`. */
export async function traffic(
  user: string,
  perSecond: number,
  port: number,
  endsAt: number,
  answers: Answer[],
): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  const sent: Promise<void>[] = [];
  for (let at = performance.now(); at < endsAt; at += 1000 / perSecond) {
    await sleep(at - performance.now());
    sent.push(send(user, port, agent).then((answer) => void answers.push(answer)));
  }
  await Promise.all(sent);
  agent.destroy();
}

async function send(user: string, port: number, agent: Agent): Promise<Answer> {
  const sentAt = performance.now();
  return new Promise((resolve, reject) => {
    const call = request({ host: "127.0.0.1", port, agent, headers: { "x-user": user } }, (response) => {
      const answeredBy = String(response.headers["x-answered-by"] ?? "unknown");
      response.resume().on("end", () => {
        resolve({ user, status: response.statusCode ?? 0, answeredBy, sentAt, answeredAt: performance.now() });
      });
    });
    call.on("error", reject).end();
  });
}
