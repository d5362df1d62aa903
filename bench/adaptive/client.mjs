// An open-loop client: it sends requests at random instants at a given rate, however many are in flight. Latency counts from the
// instant at which a request was due, so that a late client does not hide it.
import { Agent, get } from "node:http";
import { performance } from "node:perf_hooks";

// Each client keeps a connection, and the least recently used one sends next: many clients instead of a few busy ones.
const agent = new Agent({ keepAlive: true, maxSockets: Infinity, maxFreeSockets: Infinity, scheduling: "fifo" });
const CLIENTS = 2000;

/** Opens the connections in advance, so that the queue of new connections does not affect latency. */
export async function connect(port) {
  const batches = Array.from({ length: CLIENTS / 100 });
  for (const [at] of batches.entries()) {
    // The server delays these responses, so that each request needs a new connection.
    batches[at] = Array.from({ length: 100 }, () => request(port, {}, "/connect"));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await Promise.all(batches.flat());
}

/**
 * Sends `rate` requests a second for `ms`, and returns a record of each: when it was due and, after the response, its status (0 if
 * the connection failed) and latency. The latency is `Infinity` without a response.
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

/** Keeps `width` requests in flight for `ms`, and returns the responses per second. */
export async function closedLoop({ port, width, ms }) {
  const endsAt = performance.now() + ms;
  let completed = 0;
  const one = async () => {
    for (; performance.now() < endsAt; completed += 1) await request(port, { dueAt: performance.now() });
  };
  await Promise.all(Array.from({ length: width }, one));
  return completed / (ms / 1000);
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
