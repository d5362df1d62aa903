import fc from "fast-check";

// Which counterexample kills a mutant is of no interest, and looking for a smaller one takes longer than finding it.
fc.configureGlobal({ endOnFailure: true });
