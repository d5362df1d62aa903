// Clients that do not wait for each other: requests are sent at random instants of a given rate, however many are under way.
// Latency counts from the instant at which a request was due, so that a client that is late hides nothing.
import { Agent, get } from "node:http";
import { performance } from "node:perf_hooks";

// Every client keeps a connection, and the one that was quiet for longest asks next: many clients, and not a busy few.
const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: Infinity, scheduling: "fifo" });
const CLIENTS = 2000;

/** Opens the connections, so that none is opened under load: the queue of those would hide the other. */
export async function connect(port) {
  const batches = Array.from({ length: CLIENTS / 100 });
  for (const [at] of batches.entries()) {
    // Those of the batches before are held by requests that are answered when all are there.
    batches[at] = Array.from({ length: 100 }, () => request(port, {}, "/connect"));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await Promise.all(batches.flat());
}

/**
 * Sends at `rate` a second for `ms`, and returns a record of each request: when it was due, and, once it is answered, its
 * status (0 when it was lost) and latency. Who is not answered waits for ever.
 */
export async function openLoop({ port, rate, ms }) {
  const startedAt = performance.now();
  const records = [];
  for (let dueMs = 0; dueMs < ms;) {
    const now = performance.now() - startedAt;
    for (; dueMs <= now && dueMs < ms; dueMs += (-Math.log(1 - Math.random()) / rate) * 1000) {
      const record = { dueAt: startedAt + dueMs, status: 0, latencyMs: Infinity };
      records.push(record);
      record.ended = request(port, record);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return records;
}

/** Keeps `width` requests under way for `ms`, and tells how many a second were answered. */
export async function closedLoop({ port, width, ms }) {
  const endsAt = performance.now() + ms;
  let answered = 0;
  const one = async () => {
    for (; performance.now() < endsAt; answered += 1) await request(port, { dueAt: performance.now() });
  };
  await Promise.all(Array.from({ length: width }, one));
  return answered / (ms / 1000);
}

function request(port, record, path = "/") {
  return new Promise((resolve) => {
    const done = (status) => {
      record.status = status;
      if (status !== 0) record.latencyMs = performance.now() - record.dueAt;
      resolve();
    };
    get({ port, host: "127.0.0.1", path, agent }, (response) => {
      response.resume().on("end", () => done(response.statusCode));
      response.on("error", () => done(0));
    }).on("error", () => done(0));
  });
}
