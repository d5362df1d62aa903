import { cutOut, HOSTILE } from "./keys.mjs";
import { Random } from "./random.mjs";

const USERS = 300;
const ATTACKERS = 24;
/** Of the keys in the flood and in the rotation, one in so many is watched. */
const WATCHED = 32;
/** A wait that is waited out to the millisecond. */
const NEAR_MS = 50;

/** What is done to a house: a step at a time, in an order that the seed fixes. */
export class Traffic {
  #house;
  #random;
  #flood = 0;
  #rotation = 0;

  constructor(house, seed) {
    this.#house = house;
    this.#random = new Random(seed);
  }

  async step() {
    const [house, random] = [this.#house, this.#random];
    house.step += 1;
    if (random.once(40)) await house.move(1);
    if (random.once(10_000)) await this.#jump();
    if (house.step % 50_000 === 0) for (const { watch } of house.spaces) watch.tidy();
    const space = random.pick(house.spaces);
    const one = random.below(100);
    if (one < 40) await this.#newcomer(space);
    else if (one < 65) await this.#rotate(space);
    else if (one < 88) await this.#attack(space);
    else if (one < 94) await this.#visit(space.watch, `user ${random.below(USERS)}`);
    else if (one < 97) await this.#visit(space.watch, random.pick(HOSTILE));
    else await this.#takeBack(space.watch);
    house.inspect();
  }

  /** Forward to just before, exactly and just after some window, or far; or back, by a correction or by an hour. */
  async #jump() {
    const random = this.#random;
    const { limiter, longestMs } = random.pick(this.#house.spaces);
    const { periodMs } = random.pick(limiter.limits);
    if (random.once(2)) await this.#house.move(-random.pick([1, 50, 1000, 3_600_000]));
    else
      await this.#house.move(random.pick([periodMs - 1, periodMs, periodMs + 1, longestMs, random.below(longestMs)]));
  }

  /** A flood of keys that never come again. */
  async #newcomer(space) {
    this.#flood += 1;
    const name = `newcomer ${this.#flood}`;
    if (this.#flood % WATCHED === 0) space.watch.check(name, this.#cost());
    else await space.limiter.isAllowed(this.#flood % 16 === 1 ? cutOut(name) : name);
  }

  /** One attacker who goes round over more keys than there is room for. */
  async #rotate(space) {
    this.#rotation = (this.#rotation + 1) % Math.floor(this.#house.maxKeys * 1.5);
    const name = `rotation ${this.#rotation}`;
    if (this.#rotation % WATCHED === 0) await this.#visit(space.watch, name);
    else await space.limiter.isAllowed(name);
  }

  /** Attackers who hammer at the limit all the time: the keys that a flood must not wash away. */
  async #attack(space) {
    const attacker = this.#random.below(ATTACKERS);
    const name = `attacker ${attacker}`;
    if (attacker % 8 > 0) await space.limiter.isAllowed(name);
    else if (this.#random.once(3)) await this.#visit(space.watch, name);
  }

  /** Any verb about a key that is watched. */
  async #visit(watch, key) {
    const one = this.#random.below(20);
    if (one < 9) await this.#check(watch, key, this.#cost());
    else if (one < 15) await watch.isAllowed(key, this.#cost());
    else if (one < 18) await watch.peek(key, this.#cost());
    else if (one < 19) await watch.state(key);
    else if (this.#random.once(4)) await this.#startAfresh(watch, key);
  }

  /** One who comes too early by a little comes again: a millisecond too early, or in time. */
  async #check(watch, key, cost) {
    const wait = watch.check(key, cost);
    if (wait === 0 || wait > NEAR_MS || this.#random.once(2)) return;
    await this.#house.move(wait - this.#random.below(2));
    await watch.isAllowed(key, cost);
  }

  /** A key is forgotten, and comes again at once: what it spent before is not there any more to be taken back. */
  async #startAfresh(watch, key) {
    watch.check(key, 1);
    await watch.reset(key);
    watch.check(key, 1);
    await watch.refund(1);
  }

  async #takeBack(watch) {
    if (this.#random.once(10_000)) await watch.resetAll();
    else await watch.refund(Math.min(this.#random.below(64), this.#random.below(64)));
  }

  #cost() {
    return this.#random.pick([1, 1, 1, 1, 2, 3, 70]);
  }
}
