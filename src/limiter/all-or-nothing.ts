import type { Decision } from "../core/decision.js";
import { receiptOf } from "../core/decision.js";
import { memberOf } from "../core/expected.js";
import { warn } from "../core/warn.js";
import type { Ask, Judgement, Together, Verdict } from "../store/store.js";
import type { Part } from "./part.js";

/** The parts of a call about several keys, by the names of their members. */
export type Asked = readonly (readonly [name: string, part: Part])[];

/**
 * Judges all, then spends all, in one synchronous run. Every `bypass` has been asked before it, and whoever is to hear of the
 * decisions hears afterwards: nothing of the user's runs in between.
 */
export function atOnce(asked: Asked): Map<string, Decision> {
  const asks = new Map(asked.flatMap(([, part]) => (part.isBypassed ? [] : [[part, part.ask()]])));
  const verdicts = new Map<Part, Verdict>();
  const stores = [...new Set([...asks.keys()].map(({ store }) => store))];
  const judged = stores.map((store) => {
    const parts = [...asks.keys()].filter((part) => part.store === store);
    const judgement = store.judge?.(parts.map((part) => asks.get(part) as Ask)) as Judgement;
    const note = (answers: readonly Verdict[]): void => {
      for (const [at, part] of parts.entries()) verdicts.set(part, answers[at] as Verdict);
    };
    note(judgement.verdicts);
    return { judgement, note };
  });
  const decided = (): Map<string, Decision> =>
    new Map(asked.map(([name, part]) => [name, part.decide(verdicts.get(part))]));
  let decisions = decided();
  if ([...decisions.values()].every(({ allowed }) => allowed)) {
    spendAll(judged);
    decisions = decided();
  }
  announceAll(asked, decisions);
  return decisions;
}

/** Of a refused call only the refusals are told: what the others would have let through did not happen. */
function announceAll(asked: Asked, decisions: ReadonlyMap<string, Decision>): void {
  const isRefused = [...decisions.values()].some(({ allowed }) => !allowed);
  for (const [name, part] of asked) {
    const decision = decisions.get(name);
    if (decision !== undefined && (!isRefused || !decision.allowed)) part.announce(decision);
  }
}

interface Judged {
  readonly judgement: Judgement;
  readonly note: (answers: readonly Verdict[]) => void;
}

/** Spends at every store; where one fails, for want of memory or by a clock that calls limiters, what the others spent is taken back. */
function spendAll(judged: readonly Judged[]): void {
  const spent: Verdict[] = [];
  try {
    for (const { judgement, note } of judged) {
      const answers = judgement.spend();
      note(answers);
      spent.push(...answers);
    }
  } catch (error) {
    for (const { receipt } of spent) void receipt?.refund();
    throw error;
  }
}

/** Asks stores that answer later: about all at once where one can, and else one after another. */
export async function later(asked: Asked): Promise<Map<string, Decision>> {
  // The order of making, whatever the names: of two calls that share two keys one refuses the other, and not each other.
  const ordered = [...asked].sort(([, one], [, other]) => one.order - other.order);
  const asking = ordered.flatMap(([, part]) => (part.isBypassed ? [] : [part]));
  const [first, second] = asking;
  if (second === undefined || memberOf(first?.store, "checkTogether") === undefined) return inOrder(ordered);
  const answer = (await first?.store.checkTogether?.(asking.map((part) => part.ask()))) as Together;
  if (isInOrder(answer)) return inOrder(ordered, new Map(asking.map((part, at) => [part, answer.inOrder[at]])));
  const verdicts = new Map(asking.map((part, at) => [part, answer.verdicts[at]]));
  const decisions = new Map<string, Decision>();
  for (const [name, part] of asked) {
    const verdict = verdicts.get(part);
    if (part.isBypassed || verdict !== undefined) decisions.set(name, part.decide(verdict));
  }
  announceAll(asked, decisions);
  return decisions;
}

function isInOrder(answer: Together): answer is Extract<Together, { inOrder: unknown }> {
  return Object.hasOwn(answer, "inOrder");
}

type Answering = Pick<Ask["space"], "check">;

/**
 * Asks one after another, and takes back what was spent when one refuses or fails.
 *
 * @param instead - who answers for the space of a part, where it is not the space itself.
 */
async function inOrder(
  asked: Asked,
  instead: ReadonlyMap<Part, Answering | undefined> = new Map(),
): Promise<Map<string, Decision>> {
  const decisions = new Map<string, Decision>();
  try {
    for (const [name, part] of asked) {
      const decision = part.decide(part.isBypassed ? undefined : await answerTo(part.ask(), instead.get(part)));
      part.announce(decision);
      decisions.set(name, decision);
      if (!decision.allowed) {
        await takeBack(decisions);
        break;
      }
    }
  } catch (error) {
    await takeBack(decisions);
    throw error;
  }
  return decisions;
}

async function answerTo({ space, key, limits, cost }: Ask, answering: Answering = space): Promise<Verdict> {
  return answering.check(key, limits, cost);
}

async function takeBack(decisions: ReadonlyMap<string, Decision>): Promise<void> {
  const refunds = [...decisions.values()].map(async (decision) => receiptOf(decision)?.refund());
  for (const outcome of await Promise.allSettled(refunds)) {
    if (outcome.status === "rejected") warn("A refund failed; the call of another key stays counted", outcome.reason);
  }
}
