/** The limits of one listener for each of its clients, authenticated or not. Times are in milliseconds. */
export interface ListenerLimits {
  /** For a TLS handshake; and for the first bytes, which tell HTTP/1.1 from HTTP/2, from the first of them. */
  readonly handshakeMs: number;
  /** For the headers of an HTTP/1.1 request. */
  readonly headersMs: number;
  /** For a whole request, however slowly it arrives. Streaming methods are exempt over HTTP/2. */
  readonly requestMs: number;
  /** For which a connection may be idle between two requests, and before the first: balancers open spare connections. */
  readonly keepAliveMs: number;
  /** For the begin of an HTTP/2 session, and from the begin of its first request until one is complete. */
  readonly firstRequestMs: number;
  /** For which a closing listener keeps connections without a request: one may be in transit. */
  readonly drainIdleMs: number;
  /** For which a client may take nothing of a response. */
  readonly stalledResponseMs: number;
  /** Between two sweeps: the times above are kept to this precision. */
  readonly sweepMs: number;
  /** All headers of a request, in bytes. */
  readonly headerBytes: number;
  /** Header fields of an HTTP/1.1 request; Node allows as many over HTTP/2. Each takes memory besides its bytes. */
  readonly headerFields: number;
  /** A message after decompression, in bytes. */
  readonly messageBytes: number;
  /** Memory of one HTTP/2 session, in megabytes; it opens no more streams beyond that. */
  readonly sessionMemoryMegabytes: number;
  /** The flow-control window of an HTTP/2 session: bytes of request bodies in transit, all of its streams together. */
  readonly windowBytes: number;
  /** Calls in flight on one HTTP/2 session; requests that wait for answers on one HTTP/1.1 connection. */
  readonly concurrentStreams: number;
  /** Calls of streaming methods among them: these may stay open for ever, some without a token. */
  readonly streamingCalls: number;
  /** HTTP/2 frames that ask for nothing but an acknowledgement, on one session between two sweeps. */
  readonly controlFrames: number;
  /** Streams that one HTTP/2 session may reset in a burst; then it loses its connection. */
  readonly resetBurst: number;
  /** Resets a second that are allowed on average. */
  readonly resetRate: number;
  /** Open connections. A further one closes the one that has been idle for the longest. */
  readonly connections: number;
  /**
   * Memory of all open requests in bytes: headers, bodies, and answers that clients have not read. Over the limit,
   * connections are closed.
   */
  readonly requestMemoryBytes: number;
}

/** The limits of the public listener. */
export const publicLimits: ListenerLimits = {
  handshakeMs: 5_000,
  headersMs: 5_000,
  requestMs: 8_000,
  // Longer than balancers keep an idle connection (60 s mostly, 600 s at most), so that they close first: a connection
  // that we close may have a request in transit.
  keepAliveMs: 620_000,
  firstRequestMs: 8_000,
  drainIdleMs: 1_000,
  stalledResponseMs: 60_000,
  sweepMs: 500,
  headerBytes: 16 * 1024,
  headerFields: 128,
  messageBytes: 64 * 1024,
  sessionMemoryMegabytes: 10,
  // What RFC 9113, 6.9.2 begins with.
  windowBytes: 65_535,
  // The least that RFC 9113, 6.5.2 recommends; no app has more calls in flight.
  concurrentStreams: 100,
  streamingCalls: 100,
  // Clients of gRPC that measure their bandwidth send some hundreds of pings a second.
  controlFrames: 2_500,
  resetBurst: 200,
  resetRate: 33,
  connections: 20_000,
  // Room for 4,000 small requests whose clients do not read the answers.
  requestMemoryBytes: 64 * 1024 * 1024,
};

/** The limits of the internal listener: few callers, each with many calls and large batches on one session. */
export const internalLimits: ListenerLimits = {
  ...publicLimits,
  messageBytes: 1024 * 1024,
  sessionMemoryMegabytes: 64,
  // Eight batches of a hundred pairs fill what a session begins with: a call, or its refusal, would wait for them.
  windowBytes: 1024 * 1024,
  concurrentStreams: 1_000,
  // All calls of a session reach their deadlines at once, when the database is slow.
  resetBurst: 1_000,
  requestMemoryBytes: 256 * 1024 * 1024,
};

/** The limits of the operators' listener: few connect to it. */
export const adminLimits: ListenerLimits = {
  ...publicLimits,
  connections: 100,
  requestMemoryBytes: 16 * 1024 * 1024,
};
