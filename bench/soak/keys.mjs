const LONG = "k".repeat(1000);

/** Valid keys that an attacker might choose. */
export const HOSTILE = [
  ...["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "valueOf", "__defineGetter__"],
  ...["", " ", "\u0000", "\n", "\ud800", "\udfff\ud800", "😀", "\u202e", "\ufeff", "e\u0301", "\u00e9", "ß", "ẞ"],
  ...["0", "-0", "1", "01", "1.0", "NaN", "null", "undefined", "[object Object]", "*", "a:b", "{tag}"],
  ...["a", "b", "c"].map((end) => LONG + end),
  `${LONG.slice(1)}😀`,
];

/** A short key that V8 represents as a slice of a longer string, as it does with a part of a header. */
export function cutOut(name) {
  return `${name};${"h".repeat(256)}`.slice(0, name.length);
}
