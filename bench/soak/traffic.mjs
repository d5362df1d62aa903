import { cutOut, HOSTILE } from "./keys.mjs";
import { Random } from "./random.mjs";

const USERS = 300;
const ATTACKERS = 24;
/** One in this many keys of the flood and of the rotation is compared with the model. */
const CHECKED = 32;
/** The longest wait, in milliseconds, after which the traffic repeats a refused call. */
const SHORT_WAIT_MS = 50;

/** Random operations on a {@link StoreUnderTest}, one step at a time, in an order that the seed fixes. */
export class Traffic {
  #target;
  #random;
  #flood = 0;
  #rotation = 0;

  constructor(target, seed) {
    this.#target = target;
    this.#random = new Random(seed);
  }

  async step() {
    const [target, random] = [this.#target, this.#random];
    target.step += 1;
    if (random.once(40)) await target.move(1);
    if (random.once(10_000)) await this.#jump();
    if (target.step % 50_000 === 0) for (const { checked } of target.namespaces) checked.deleteExpired();
    const namespace = random.pick(target.namespaces);
    const one = random.below(100);
    if (one < 40) await this.#callNewKey(namespace);
    else if (one < 65) await this.#rotate(namespace);
    else if (one < 88) await this.#attack(namespace);
    else if (one < 94) await this.#callAnyMethod(namespace.checked, `user ${random.below(USERS)}`);
    else if (one < 97) await this.#callAnyMethod(namespace.checked, random.pick(HOSTILE));
    else await this.#refundOrReset(namespace.checked);
    target.checkInvariants();
  }

  /** Moves the clock to just before, exactly to or just after the end of a period, or far ahead; or back. */
  async #jump() {
    const random = this.#random;
    const { limiter, longestMs } = random.pick(this.#target.namespaces);
    const { periodMs } = random.pick(limiter.limits);
    const forward = [periodMs - 1, periodMs, periodMs + 1, longestMs, random.below(longestMs)];
    const backward = [-1, -50, -1000, -3_600_000];
    await this.#target.move(random.pick(random.once(2) ? backward : forward));
  }

  /** A flood of keys that are used once. */
  async #callNewKey({ limiter, checked }) {
    this.#flood += 1;
    const key = `new ${this.#flood}`;
    if (this.#flood % CHECKED === 0) checked.check(key, this.#cost());
    else await limiter.isAllowed(this.#flood % 16 === 1 ? cutOut(key) : key);
  }

  /** An attacker who cycles through more keys than the store holds. */
  async #rotate({ limiter, checked }) {
    this.#rotation = (this.#rotation + 1) % Math.floor(this.#target.maxKeys * 1.5);
    const key = `rotation ${this.#rotation}`;
    if (this.#rotation % CHECKED === 0) await this.#callAnyMethod(checked, key);
    else await limiter.isAllowed(key);
  }

  /** Attackers who stay at their limits: a flood must not evict their keys. */
  async #attack({ limiter, checked }) {
    const attacker = this.#random.below(ATTACKERS);
    const key = `attacker ${attacker}`;
    if (attacker % 8 > 0) await limiter.isAllowed(key);
    else if (this.#random.once(3)) await this.#callAnyMethod(checked, key);
  }

  async #callAnyMethod(checked, key) {
    const one = this.#random.below(20);
    if (one < 9) await this.#check(checked, key, this.#cost());
    else if (one < 15) await checked.isAllowed(key, this.#cost());
    else if (one < 18) await checked.peek(key, this.#cost());
    else if (one < 19) await checked.state(key);
    else if (this.#random.once(4)) await this.#resetBetweenCalls(checked, key);
  }

  /** Repeats a call that was refused for a short time, either on time or a millisecond too early. */
  async #check(checked, key, cost) {
    const wait = checked.check(key, cost);
    if (wait === 0 || wait > SHORT_WAIT_MS || this.#random.once(2)) return;
    await this.#target.move(wait - this.#random.below(2));
    await checked.isAllowed(key, cost);
  }

  /** Resets a key between two calls, and refunds the first, which the reset has deleted. */
  async #resetBetweenCalls(checked, key) {
    checked.check(key, 1);
    await checked.reset(key);
    checked.check(key, 1);
    await checked.refund(1);
  }

  async #refundOrReset(checked) {
    if (this.#random.once(10_000)) await checked.resetAll();
    else await checked.refund(Math.min(this.#random.below(64), this.#random.below(64)));
  }

  #cost() {
    return this.#random.pick([1, 1, 1, 1, 2, 3, 70]);
  }
}
