const LONG = "k".repeat(1000);

/** Keys that an attacker would choose, and that are keys like any other. */
export const HOSTILE = [
  ...["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf", "__defineGetter__"],
  ...["", " ", "\u0000", "\n", "\ud800", "\udfff\ud800", "😀", "\u202e", "\ufeff", "e\u0301", "\u00e9", "ß", "ẞ"],
  ...["0", "-0", "1", "01", "1.0", "NaN", "null", "undefined", "[object Object]", "*", "a:b", "{tag}"],
  ...["a", "b", "c"].map((end) => LONG + end),
  `${LONG.slice(1)}😀`,
];

/** A short key that is, in V8, a view into a long string of its own: a client's header. */
export function cutOut(name) {
  return `${name};${"h".repeat(256)}`.slice(0, name.length);
}
