/** How much there is in the tables. */
export interface Size {
  /** Users with edges among each other; the special ones come on top. */
  readonly users: number;
  readonly blocks: number;
  readonly mutes: number;
  readonly follows: number;
  /** Blocks of the viewers whose checks are compared. */
  readonly viewers: readonly [few: number, many: number, most: number];
  /** Blocks of the user with the longest list: no more than there are users. */
  readonly longest: number;
}

export const sizes = {
  full: {
    users: 1_000_000,
    blocks: 2_000_000,
    mutes: 2_000_000,
    follows: 5_000_000,
    viewers: [10, 1_000, 100_000],
    longest: 1_000_000,
  },
  small: {
    users: 20_000,
    blocks: 60_000,
    mutes: 60_000,
    follows: 150_000,
    viewers: [10, 1_000, 20_000],
    longest: 20_000,
  },
  /** Tables of 100,000 edges, to compare the full ones with. */
  tiny: {
    users: 10_000,
    blocks: 20_000,
    mutes: 20_000,
    follows: 50_000,
    viewers: [10, 1_000, 4_000],
    longest: 4_000,
  },
} as const satisfies Record<string, Size>;

/** Users who make new blocks and settings, and have no other edges. */
export const writers = 3_000;
