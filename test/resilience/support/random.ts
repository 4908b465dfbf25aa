/** Numbers that look random and depend on the seed alone. */
export interface Random {
  /** A whole number from 0 up to, but not including, a limit. */
  below(limit: number): number;
}

/** Starts the numbers of a seed (splitmix32). */
export function randomOf(seed: number): Random {
  let state = seed | 0;
  return {
    below(limit) {
      state = (state + 0x9e3779b9) | 0;
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32) * limit);
    },
  };
}

/** A random seed. */
export function newSeed(): number {
  return Math.floor(Math.random() * 2 ** 31);
}
