/** Unary gRPC calls to make. */
export interface GrpcJob {
  readonly url: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  /** A file of `packCalls`; the calls are made in turn, again and again. */
  readonly callsFile: string;
  /** Whether every call may be made only once: the load ends early when none is left. */
  readonly once: boolean;
  readonly sessions: number;
  /** Calls at once on each session. */
  readonly streams: number;
  /** Time before the measurement, in which connections open and code gets compiled. */
  readonly rampMs: number;
  readonly ms: number;
}

/** What came of a load. */
export interface LoadResult {
  /** All answers, those before and after the measurement too. */
  readonly total: number;
  /** Answers a second while it was measured. */
  readonly rate: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Answers that were failures or other than they must be, and calls without an answer. */
  readonly wrong: number;
  /** The first of them. */
  readonly example: string | undefined;
  /** The part of a processor core that the load took; near 1 the load measured itself. */
  readonly generatorShare: number;
}
