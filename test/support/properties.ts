import fc from "fast-check";

/**
 * Every run tries the same examples, so that a landing never hangs on luck; `PROPERTY_SEED` gives others. What would
 * search or shrink for longer than a test may take ends as a failure.
 */
fc.configureGlobal({
  seed: Number(process.env.PROPERTY_SEED ?? 20_261_122),
  interruptAfterTimeLimit: 15_000,
  markInterruptAsFailure: true,
});
