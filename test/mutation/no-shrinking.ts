import fc from "fast-check";

// Any counterexample kills a mutant. Shrinking it takes longer than finding it.
fc.configureGlobal({ endOnFailure: true });
